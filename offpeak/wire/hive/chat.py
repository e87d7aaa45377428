"""A task as the chat completion that runs for it."""

from __future__ import annotations

from typing import Any

from offpeak.core.enqueued import estimate_tokens
from offpeak.core.errors import InvalidRequest
from offpeak.core.model import Model
from offpeak.wire.hive.bodies import Options, TaskBody

TOKENS_MAX = 32_768
"""Of a task's input and output together, as Hive's page says."""
TEXT_BYTES_MAX = TOKENS_MAX * 8
"""Twice what so many tokens of English have: whatever is longer can't be meant. The rest is for the engine to count."""


def to_chat(body: TaskBody, name: str, model: Model | None) -> dict[str, Any]:
    """The body of a chat completion: the system prompt, the history in its order, then the text.

    `name` is what the model was asked for by, `model` what it stands for, if anything. Raises InvalidRequest for what
    is over the limit whatever a tokenizer makes of it.
    """
    options = body.options
    messages = _messages(body)
    text_bytes = sum(len(message["content"].encode(errors="replace")) for message in messages)
    _check_room(options, text_bytes)
    chat: dict[str, Any] = {"model": name, "messages": messages}
    if options.temperature is not None:
        chat["temperature"] = options.temperature
    if options.top_p:
        # On Hive's page 0 is the most diverse: that is all of the distribution, which no `top_p` stands for.
        chat["top_p"] = options.top_p
    held = _held(options.max_tokens, model, estimate_tokens(text_bytes))
    if held is not None:
        chat["max_tokens"] = held
    return chat


def _messages(body: TaskBody) -> list[dict[str, str]]:
    options = body.options
    first = [{"role": "system", "content": options.system_prompt}] if options.system_prompt else []
    history = [
        {"role": said.role, "content": said.content} for said in options.prompt_history or ()
    ]
    return [*first, *history, {"role": "user", "content": body.text_data}]


def _check_room(options: Options, text_bytes: int) -> None:
    if (options.max_tokens or 0) > TOKENS_MAX:
        raise InvalidRequest(
            f"'options.max_tokens' is over {TOKENS_MAX:,}, which input and output may have together. Lower it.",
            param="options.max_tokens", code="too_many_tokens",
        )  # fmt: skip
    if text_bytes > TEXT_BYTES_MAX:
        raise InvalidRequest(
            f"The texts have {text_bytes:,} bytes; {TOKENS_MAX:,} tokens, which input and output may have together, "
            f"have at most about {TEXT_BYTES_MAX:,}. Shorten them.",
            param="text_data", code="too_many_tokens",
        )  # fmt: skip


def _held(wanted: int | None, model: Model | None, input_tokens: int) -> int | None:
    """What may be generated, so that input and output keep the limit by our estimate, on a model with room for more.
    None leaves it to the model's own default."""
    room = max(1, TOKENS_MAX - input_tokens)
    if wanted is not None:
        return min(wanted, room)
    return room if model is not None and model.completion_tokens_default > room else None
