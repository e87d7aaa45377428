"""What of a request line the model reads first: the bytes by which lines with a common beginning are told.

They are the line's own JSON, of the fields that are rendered into the prompt and in the order in which chat templates
render them: tools, then messages with all their parts, images too. So no template is needed and no text is decoded, at
a gigabyte a second; and requests that are written alike begin alike. Two clients that write the same prompt differently
(other spaces, other escapes, other orders of keys) don't meet in one group: they lose what they share, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

_NOTHING = msgspec.Raw(b"")


class _Chat(msgspec.Struct, gc=False):
    messages: msgspec.Raw
    tools: msgspec.Raw = _NOTHING

    @property
    def text(self) -> bytes:
        return b"".join((self.tools, self.messages))


class _Completion(msgspec.Struct, gc=False):
    prompt: msgspec.Raw

    @property
    def text(self) -> bytes:
        return bytes(self.prompt)


class _Response(msgspec.Struct, gc=False):
    input: msgspec.Raw
    instructions: msgspec.Raw = _NOTHING
    tools: msgspec.Raw = _NOTHING

    @property
    def text(self) -> bytes:
        return b"".join((self.tools, self.instructions, self.input))


class _Limits(msgspec.Struct, gc=False):
    """`max_completion_tokens` is the newer name, and wins, as it does for validation."""

    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None
    max_tokens: int | None = None
    n: int | None = None


_BODIES: dict[str, Any] = {
    "/v1/chat/completions": _Chat,
    "/v1/completions": _Completion,
    "/v1/responses": _Response,
}
"""Endpoints whose prompts an engine reads from left to right. Embeddings aren't: none of a text's is cached."""


def _line_of(body: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(msgspec.defstruct("Line", [("body", body)], gc=False))


@dataclass(frozen=True, slots=True)
class PromptReader:
    """Reads prompts of lines that were checked. Without a `decoder` none of them can be shared."""

    decoder: msgspec.json.Decoder[Any] | None

    def read(self, line: bytes) -> bytes:
        """The prompt's bytes; none for a line that has no prompt that we know how to read."""
        if self.decoder is None:
            return b""
        try:
            text: bytes = self.decoder.decode(line).body.text
        except (ValueError, RecursionError):
            return b""
        return text


_READERS = {endpoint: PromptReader(_line_of(body)) for endpoint, body in _BODIES.items()}
_NO_READER = PromptReader(None)


def prompt_reader(endpoint: str) -> PromptReader:
    return _READERS.get(endpoint, _NO_READER)


_LIMITS = _line_of(_Limits)


def read_completion_tokens(line: bytes, default: int) -> int:
    """What the line's answers may take at most, all together; `default` an answer when it doesn't say."""
    try:
        body = _LIMITS.decode(line).body
    except (ValueError, RecursionError):
        return default
    limit = body.max_completion_tokens or body.max_output_tokens or body.max_tokens or default
    return int(limit) * (body.n or 1)
