"""What the worker asks of an inference engine: OpenAI's request body in, status and response body out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from offpeak.core.usage import Usage


class EngineDead(Exception):
    """The engine can't answer any request any more. Nothing is wrong with the request itself: try it elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineAnswer:
    """`body` is JSON: OpenAI's response object, or its error envelope when `status_code` is 400 or more."""

    status_code: int
    body: bytes
    usage: Usage = Usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """What an engine is to have in hand: `requests` in flight keep it busy, and so do `tokens` of theirs; more only
    waits in its queue. It runs `sequences` at once, and one request has at most `context_tokens`. None where the engine
    doesn't say: nothing is counted by it then."""

    requests: int
    tokens: int | None = None
    sequences: int | None = None
    context_tokens: int | None = None


class Engine(Protocol):
    @property
    def limits(self) -> EngineLimits:
        """Known once it has started."""
        ...

    async def start(self) -> None:
        """Returns when it can answer. Raises EngineDead when it never will."""
        ...

    async def ready(self) -> bool: ...

    async def run(self, endpoint: str, body: Mapping[str, Any], *, priority: int) -> EngineAnswer:
        """The answer to one request; what is wrong with the request is a status of 400 or more, never an exception.

        Lower `priority` goes first. Cancelling the call aborts the request. Raises EngineDead.
        """
        ...

    async def stop(self) -> None: ...

    def stats(self) -> Mapping[str, int]:
        """Counters since the start, for tests and operators; which ones depends on the engine."""
        ...


def error_answer(
    status_code: int, message: str, *, kind: str = "invalid_request_error", param: str | None = None
) -> EngineAnswer:
    """OpenAI's error envelope as an answer."""
    error = {"message": message, "type": kind, "param": param, "code": status_code}
    return EngineAnswer(status_code=status_code, body=msgspec.json.encode({"error": error}))
