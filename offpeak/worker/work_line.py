"""One request line on the engine: its body prepared, tried again when the engine is at fault, rendered as a result."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import msgspec

from offpeak.core.errors import InvalidRequest
from offpeak.core.gathering import is_gathering
from offpeak.core.invocation import ShardOrder
from offpeak.core.lengths import Lengths, bucket_of, of_counts
from offpeak.core.request_line import FinishedLine
from offpeak.core.usage import Usage
from offpeak.wire.nesting import NESTING_MAX, is_too_deep
from offpeak.wire.request_lines import MEDIA, read_account_id, read_custom_id
from offpeak.wire.results import render_error, render_response
from offpeak.worker.engine import Engine, EngineAnswer, error_answer
from offpeak.worker.images import Images
from offpeak.worker.settings import WorkerSettings

_PASSING = frozenset({408, 429, 500, 502, 503, 504, 529})
"""Statuses that say nothing about the request: the same one may succeed in a moment."""
_TOO_DEEP = (
    "invalid_json_line",
    f"This line is nested too deeply, over {NESTING_MAX} levels. Flatten the request.",
)
_LIMITS = ("max_completion_tokens", "max_output_tokens", "max_tokens")
_ESCAPE = b"\\u"
"""With it a key could be written so that `MEDIA` doesn't show."""


class _Line(msgspec.Struct):
    custom_id: str
    body: dict[str, Any]


_LINES = msgspec.json.Decoder(_Line, float_hook=float)
"""With the hook 1e999 is infinity, as it was for validation; the engine has its own opinion of it."""


class LineWork:
    """Answers the lines of one shard. All of it but the engine's own work runs on the event loop, so what happens once
    a line is counted in microseconds (`make bench-worker CASES=e`)."""

    def __init__(
        self, order: ShardOrder, engine: Engine, settings: WorkerSettings, *, priority: int,
        images: Images,
    ) -> None:  # fmt: skip
        self._order = order
        self._engine = engine
        self._settings = settings
        self._priority = priority
        self._images = images
        self._lengths: dict[tuple[int, int], tuple[int, int]] = {}

    @property
    def lengths(self) -> Lengths:
        """How long the answers of this attempt were, by what their lines looked like."""
        return of_counts(self._lengths)

    def _learn_length(self, body: Mapping[str, Any], line_bytes: int, tokens: int) -> None:
        limit = next((body[name] for name in _LIMITS if body.get(name)), 0)
        answers = body.get("n") or 1
        if tokens and isinstance(limit, int) and isinstance(answers, int):
            bucket = bucket_of(limit * answers, line_bytes)
            lines, before = self._lengths.get(bucket, (0, 0))
            self._lengths[bucket] = lines + 1, before + tokens

    async def answer(self, number: int, raw: bytes) -> FinishedLine:
        """The line's result, whatever became of it. Raises EngineDead, and ValueError for what is no request line."""
        if is_too_deep(raw):
            return self.failed(number, read_custom_id(raw), *_TOO_DEEP)
        line = _LINES.decode(raw)
        body = line.body
        body["model"] = self._order.model
        try:
            if MEDIA in raw or _ESCAPE in raw:
                async with self._images.loaded(body, owner_of(raw, self._order)):
                    answer = await self._ask(body)
            else:
                answer = await self._ask(body)
        except InvalidRequest as error:
            answer = error_answer(400, error.message, param=error.param)
        result = render_response(
            batch_id=self._order.batch_id, line=number, custom_id=line.custom_id,
            status_code=answer.status_code, body=answer.body,
        )  # fmt: skip
        if answer.status_code >= 400:
            return FinishedLine(number=number, kind="error", result=result, usage=answer.usage)
        self._learn_length(body, len(raw), answer.usage.output_tokens)
        return FinishedLine(number=number, kind="output", result=result, usage=answer.usage)

    async def _ask(self, body: dict[str, Any]) -> EngineAnswer:
        """The last answer, once the line has been tried often enough."""
        endpoint, retry_seconds = self._order.endpoint, self._settings.retry_seconds
        for attempt in range(1, self._settings.line_attempts_max):
            answer = await self._engine.run(endpoint, body, priority=self._priority)
            if answer.status_code not in _PASSING:
                return answer
            await asyncio.sleep(retry_seconds * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))
        return await self._engine.run(endpoint, body, priority=self._priority)

    def failed(self, number: int, custom_id: str, code: str, message: str) -> FinishedLine:
        """The result of a line that has no answer."""
        result = render_error(
            batch_id=self._order.batch_id, line=number, custom_id=custom_id, code=code, message=message
        )  # fmt: skip
        return FinishedLine(number=number, kind="error", result=result, usage=Usage())


def owner_of(raw: bytes, order: ShardOrder) -> str:
    """Whose line it is: a gathering holds many accounts'."""
    owner = read_account_id(raw) if is_gathering(order.batch_id) else None
    return owner or order.account_id
