"""The exact shape of a good request line, endpoint by endpoint: what nearly every line fits, decoded in one go.

What doesn't fit is not wrong yet: `request_lines` walks it check by check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import msgspec

CUSTOM_ID_CHARACTERS_MAX = 512
CHOICES_MAX = 128  # answers to one prompt, OpenAI's `n`
COMPLETIONS_TOKENS_DEFAULT = (
    16  # what `/v1/completions` generates without a limit, at OpenAI and in vLLM
)
INPUTS_MAX = 2_048  # texts in one request for embeddings, or prompts in one for completions

Tokens = Annotated[int, msgspec.Meta(ge=0)] | None
Choices = Annotated[int, msgspec.Meta(ge=1, le=CHOICES_MAX)] | None


_QUOTE = ord('"')
_NO_TEXT = msgspec.Raw(b"null")


class Message(msgspec.Struct, gc=False):
    content: msgspec.Raw = _NO_TEXT


class ChatBody(msgspec.Struct, gc=False):
    model: str
    messages: Annotated[list[Message], msgspec.Meta(min_length=1)]
    stream: bool | None = None
    max_tokens: Tokens = None
    max_completion_tokens: Tokens = None
    n: Choices = None

    @property
    def has_parts(self) -> bool:
        """Whether a message's content is more than text: only there can an image be."""
        for message in self.messages:  # noqa: SIM110 - a generator would double the cost of a line
            if memoryview(message.content)[0] != _QUOTE:
                return True
        return False

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

    has_parts: ClassVar[bool] = False  # a plain one's prompt is text

    def completion_tokens(self, default: int, most: int) -> int | None:  # noqa: ARG002
        limit = self.max_tokens or 0
        if limit > most or self.stream or not _is_text(self.prompt):
            return None
        return (limit or COMPLETIONS_TOKENS_DEFAULT) * max(self.n or 1, self.best_of or 1)


class EmbeddingsBody(msgspec.Struct, gc=False):
    model: str
    input: msgspec.Raw
    stream: bool | None = None

    has_parts: ClassVar[bool] = False  # a plain one's prompt is text

    def completion_tokens(self, default: int, most: int) -> int | None:  # noqa: ARG002
        return None if self.stream or not _is_text(self.input) else 0


class ResponsesBody(msgspec.Struct, gc=False):
    model: str
    input: msgspec.Raw
    stream: bool | None = None
    max_output_tokens: Tokens = None

    has_parts: ClassVar[bool] = False  # a plain one's prompt is text

    def completion_tokens(self, default: int, most: int) -> int | None:
        limit = self.max_output_tokens or 0
        if limit > most or self.stream or not _is_text(self.input):
            return None
        return limit or default


def _is_text(raw: msgspec.Raw) -> bool:
    return memoryview(raw)[0] == _QUOTE


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
