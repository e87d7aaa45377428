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

    def is_plain(self, tokens_max: int) -> bool:
        """Nothing in it needs a closer look: in particular, an absent limit is not over the model's."""
        limits = (self.max_tokens or 0) <= tokens_max >= (self.max_completion_tokens or 0)
        return limits and not self.stream

    @property
    def has_parts(self) -> bool:
        """Whether a message's content is more than text: only there can an image be."""
        for message in self.messages:  # noqa: SIM110 - a generator would double the cost of a line
            if not _is_text(message.content):
                return True
        return False

    def completion_tokens(self, default: int) -> int:
        """What it may generate at most, all answers to it together."""
        return (self.max_completion_tokens or self.max_tokens or default) * (self.n or 1)


class CompletionsBody(msgspec.Struct, gc=False):
    model: str
    prompt: msgspec.Raw
    stream: bool | None = None
    max_tokens: Tokens = None
    n: Choices = None
    best_of: Choices = None

    has_parts: ClassVar[bool] = False  # a plain one's prompt is text

    def is_plain(self, tokens_max: int) -> bool:
        return _is_text(self.prompt) and not self.stream and (self.max_tokens or 0) <= tokens_max

    def completion_tokens(self, default: int) -> int:  # noqa: ARG002
        limit = self.max_tokens or COMPLETIONS_TOKENS_DEFAULT
        return limit * max(self.n or 1, self.best_of or 1)


class EmbeddingsBody(msgspec.Struct, gc=False):
    model: str
    input: msgspec.Raw
    stream: bool | None = None

    has_parts: ClassVar[bool] = False  # a plain one's prompt is text

    def is_plain(self, tokens_max: int) -> bool:  # noqa: ARG002
        return _is_text(self.input) and not self.stream

    def completion_tokens(self, default: int) -> int:  # noqa: ARG002
        return 0


class ResponsesBody(msgspec.Struct, gc=False):
    model: str
    input: msgspec.Raw
    stream: bool | None = None
    max_output_tokens: Tokens = None

    has_parts: ClassVar[bool] = False  # a plain one's prompt is text

    def is_plain(self, tokens_max: int) -> bool:
        limit = self.max_output_tokens or 0
        return _is_text(self.input) and not self.stream and limit <= tokens_max

    def completion_tokens(self, default: int) -> int:
        return self.max_output_tokens or default


def _is_text(raw: msgspec.Raw) -> bool:
    return memoryview(raw)[0] == ord('"')


BodyT = TypeVar("BodyT")


class GoodShape(msgspec.Struct, Generic[BodyT], gc=False):
    """`method` and `url` are there in every accent but Together's, where both may be left out."""

    custom_id: Annotated[str, msgspec.Meta(min_length=1, max_length=CUSTOM_ID_CHARACTERS_MAX)]
    body: BodyT
    method: Literal["POST"] | None = None
    url: str | None = None


@dataclass(frozen=True, slots=True)
class Dialect:
    """What an endpoint's body must have: the field that carries the prompt, which may be tokens already; those that
    limit the answer, and those that say how many answers. `tokens_default` is the endpoint's own limit where none is
    given; None is the model's."""

    decoder: msgspec.json.Decoder[Any]
    prompt: str
    takes_text: bool
    token_limits: tuple[str, ...]
    choices: tuple[str, ...] = ()
    takes_tokens: bool = False
    tokens_default: int | None = None


DIALECTS = {
    "/v1/chat/completions": Dialect(
        msgspec.json.Decoder(GoodShape[ChatBody]),
        "messages",
        False,
        ("max_tokens", "max_completion_tokens"),
        ("n",),
    ),
    "/v1/completions": Dialect(
        msgspec.json.Decoder(GoodShape[CompletionsBody]),
        "prompt",
        True,
        ("max_tokens",),
        ("n", "best_of"),
        takes_tokens=True,
        tokens_default=COMPLETIONS_TOKENS_DEFAULT,
    ),
    "/v1/embeddings": Dialect(
        msgspec.json.Decoder(GoodShape[EmbeddingsBody]), "input", True, (), takes_tokens=True
    ),
    "/v1/responses": Dialect(
        msgspec.json.Decoder(GoodShape[ResponsesBody]), "input", True, ("max_output_tokens",)
    ),
}
