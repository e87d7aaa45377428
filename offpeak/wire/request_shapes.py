"""The exact shape of a good request line, endpoint by endpoint: what nearly every line fits, decoded in one go.

What doesn't fit is not wrong yet: `line_checker` walks it check by check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec

CUSTOM_ID_CHARACTERS_MAX = 512
CHOICES_MAX = 128  # answers to one prompt, OpenAI's `n`
COMPLETIONS_TOKENS_DEFAULT = (
    16  # what `/v1/completions` generates without a limit, at OpenAI and in vLLM
)
INPUTS_MAX = 2_048  # texts in one request for embeddings, or prompts in one for completions

Tokens = Annotated[int, msgspec.Meta(ge=0)] | None
Choices = Annotated[int, msgspec.Meta(ge=1, le=CHOICES_MAX)] | None


_NOTHING = msgspec.Raw(b"")
_MESSAGES = b"[{"


class ChatBody(msgspec.Struct, gc=False):
    model: str
    messages: msgspec.Raw
    tools: msgspec.Raw = _NOTHING
    stream: bool | None = None
    max_tokens: Tokens = None
    max_completion_tokens: Tokens = None
    n: Choices = None

    @property
    def text(self) -> bytes | None:
        """The prompt, as `prompts` reads it; None where it needs a closer look, as all but a list of messages does."""
        messages = bytes(self.messages)
        if not messages.startswith(_MESSAGES):
            return None
        return messages if self.tools is _NOTHING else bytes(self.tools) + messages

    def completion_tokens(self, default: int, most: int) -> int | None:
        """What it may generate at most, all answers to it together; None where it needs a closer look. An absent limit
        is `default`, and not over the model's `most`."""
        limit = self.max_completion_tokens or self.max_tokens or 0
        if limit > most or self.stream or (self.max_tokens or 0) > most:
            return None
        return (limit or default) * (self.n or 1)


class CompletionsBody(msgspec.Struct, gc=False):
    model: str
    prompt: msgspec.Raw
    stream: bool | None = None
    max_tokens: Tokens = None
    n: Choices = None
    best_of: Choices = None

    @property
    def text(self) -> bytes | None:
        return _text(self.prompt)

    def completion_tokens(self, default: int, most: int) -> int | None:  # noqa: ARG002
        limit = self.max_tokens or 0
        if limit > most or self.stream:
            return None
        return (limit or COMPLETIONS_TOKENS_DEFAULT) * max(self.n or 1, self.best_of or 1)


class EmbeddingsBody(msgspec.Struct, gc=False):
    model: str
    input: msgspec.Raw
    stream: bool | None = None

    @property
    def text(self) -> bytes | None:
        """None of it is a prompt that a later line could share."""
        return None if _text(self.input) is None else b""

    def completion_tokens(self, default: int, most: int) -> int | None:  # noqa: ARG002
        return None if self.stream else 0


class ResponsesBody(msgspec.Struct, gc=False):
    model: str
    input: msgspec.Raw
    instructions: msgspec.Raw = _NOTHING
    tools: msgspec.Raw = _NOTHING
    stream: bool | None = None
    max_output_tokens: Tokens = None

    @property
    def text(self) -> bytes | None:
        text = _text(self.input)
        return None if text is None else b"".join((self.tools, self.instructions, text))

    def completion_tokens(self, default: int, most: int) -> int | None:
        limit = self.max_output_tokens or 0
        if limit > most or self.stream:
            return None
        return limit or default


def _text(raw: msgspec.Raw) -> bytes | None:
    """A text as it is written; None of anything else."""
    text = bytes(raw)
    return text if text.startswith(b'"') else None


BodyT = TypeVar("BodyT")
UrlT = TypeVar("UrlT")
CustomId = Annotated[str, msgspec.Meta(min_length=1, max_length=CUSTOM_ID_CHARACTERS_MAX)]


class GoodShape(msgspec.Struct, Generic[BodyT, UrlT], gc=False):
    custom_id: CustomId
    body: BodyT
    method: Literal["POST"]
    url: UrlT


class BareShape(msgspec.Struct, Generic[BodyT, UrlT], gc=False):
    """Where the batch's endpoint says where its lines go, and they may leave out both."""

    custom_id: CustomId
    body: BodyT
    method: Literal["POST"] | None = None
    url: UrlT | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an endpoint's body must have: the field that carries the prompt, which may be tokens already; those that
    limit the answer, and those that say how many answers. `tokens_default` is the endpoint's own limit where none is
    given; None is the model's."""

    decoder: msgspec.json.Decoder[Any]
    bare_decoder: msgspec.json.Decoder[Any]
    prompt: str
    takes_text: bool
    token_limits: tuple[str, ...]
    choices: tuple[str, ...] = ()
    takes_tokens: bool = False
    tokens_default: int | None = None


def _decoders(body: Any, url: Any) -> tuple[msgspec.json.Decoder[Any], msgspec.json.Decoder[Any]]:
    good, bare = GoodShape[body, url], BareShape[body, url]
    return msgspec.json.Decoder(good), msgspec.json.Decoder(bare)


DIALECTS = {
    "/v1/chat/completions": Dialect(
        *_decoders(ChatBody, Literal["/v1/chat/completions"]),
        "messages",
        False,
        ("max_tokens", "max_completion_tokens"),
        ("n",),
    ),
    "/v1/completions": Dialect(
        *_decoders(CompletionsBody, Literal["/v1/completions"]),
        "prompt",
        True,
        ("max_tokens",),
        ("n", "best_of"),
        takes_tokens=True,
        tokens_default=COMPLETIONS_TOKENS_DEFAULT,
    ),
    "/v1/embeddings": Dialect(
        *_decoders(EmbeddingsBody, Literal["/v1/embeddings"]), "input", True, (), takes_tokens=True
    ),
    "/v1/responses": Dialect(
        *_decoders(ResponsesBody, Literal["/v1/responses"]), "input", True, ("max_output_tokens",)
    ),
}
