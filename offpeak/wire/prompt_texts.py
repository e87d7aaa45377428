"""The texts of a request line that a tokenizer counts, and what it can't: a template's own tokens, images, sound.

A model's chat template is not at hand, so what it adds is a convention: `MESSAGE_TOKENS` for each message and
`ANSWER_TOKENS` for the beginning of the answer, which is what ChatML takes (`<|im_start|>user\\n…<|im_end|>\\n`, and
`<|im_start|>assistant\\n`). A template that writes a system prompt of its own takes more. Tools and calls of tools
count as their JSON.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

MESSAGE_TOKENS = 5
ANSWER_TOKENS = 3
CHARACTERS_MAX = 16_384
"""Of a request's texts, that are counted; the rest is taken to be like them."""

_PROMPTS = {"/v1/completions": "prompt", "/v1/embeddings": "input"}
"""Where texts are read as they are, without a chat template."""
_TEXT_TYPES = frozenset({"text", "input_text", "output_text", "refusal"})
_BODY: msgspec.json.Decoder[Any] = msgspec.json.Decoder(float_hook=float)


@dataclass(frozen=True, slots=True)
class PromptTexts:
    """`texts` are the first of all `characters`; `tokens` are known without counting; `other_bytes` of JSON are no
    text. `are_prompts`: nothing stands around the texts but what the tokenizer itself adds."""

    texts: tuple[str, ...]
    characters: int
    tokens: int
    other_bytes: int
    are_prompts: bool

    def tokens_of(self, counts: list[int], a_byte: float) -> float:
        """All of the request's input tokens, its texts having `counts`, other bytes `a_byte` each."""
        counted = sum(map(len, self.texts))
        scale = self.characters / counted if counted else 1.0
        return scale * sum(counts) + self.tokens + self.other_bytes * a_byte


@dataclass(slots=True)
class _Found:
    tokens: int = 0
    other_bytes: int = 0

    def chat(self, messages: list[Any]) -> Iterator[str]:
        self.tokens += ANSWER_TOKENS
        for message in messages:
            self.tokens += MESSAGE_TOKENS
            if isinstance(message, dict):
                said = message.get("content")
                yield from _json(message) if said is None else self.content(said)
                yield from () if said is None else _json(message.get("tool_calls"))

    def content(self, content: Any) -> Iterator[str]:
        """A text, or parts of which some are texts."""
        if isinstance(content, str):
            yield content
        for part in content if isinstance(content, list) else ():
            is_text = isinstance(part, dict) and part.get("type") in _TEXT_TYPES
            text = part.get("text", part.get("refusal")) if is_text else None
            if isinstance(text, str):
                yield text
            else:
                self.other_bytes += len(msgspec.json.encode(part))

    def prompts(self, prompts: Any) -> Iterator[str]:
        """A text, a list of texts, or tokens already."""
        if isinstance(prompts, str):
            yield prompts
        elif isinstance(prompts, list):
            for each in prompts:
                if isinstance(each, int):
                    self.tokens += 1
                else:
                    yield from self.prompts(each)

    def response(self, body: dict[str, Any]) -> Iterator[str]:
        asked, instructions = body.get("input"), body.get("instructions")
        if isinstance(instructions, str):
            self.tokens += MESSAGE_TOKENS
            yield instructions
        yield from self.chat([{"content": asked}] if isinstance(asked, str) else asked or [])


def read_prompt_texts(line: bytes, endpoint: str) -> PromptTexts:
    """Of a line that was checked. Raises ValueError if it wasn't."""
    body = _BODY.decode(line)["body"]
    found = _Found()
    are_prompts = endpoint in _PROMPTS
    if are_prompts:
        texts = list(found.prompts(body[_PROMPTS[endpoint]]))
    elif endpoint == "/v1/responses":
        texts = [*_json(body.get("tools")), *found.response(body)]
    else:
        texts = [*_json(body.get("tools")), *found.chat(body["messages"])]
    return PromptTexts(
        tuple(_first(texts)), sum(map(len, texts)), found.tokens, found.other_bytes, are_prompts
    )


def _first(texts: list[str]) -> Iterator[str]:
    left = CHARACTERS_MAX
    for text in texts:
        if left > 0:
            yield text[:left]
            left -= len(text)


def _json(value: Any) -> Iterator[str]:
    if value:
        yield msgspec.json.encode(value).decode()
