"""One request line on the engine: its body prepared, tried again when the engine is at fault, rendered as a result."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import msgspec

from offpeak.core.errors import InvalidRequest
from offpeak.core.invocation import ShardOrder
from offpeak.core.request_line import FinishedLine
from offpeak.wire.request_lines import read_line
from offpeak.wire.results import render_error, render_response
from offpeak.worker.engine import Engine, EngineAnswer, error_answer
from offpeak.worker.images import Images
from offpeak.worker.settings import WorkerSettings

_PASSING = frozenset({408, 429, 500, 502, 503, 504, 529})
"""Statuses that say nothing about the request: the same one may succeed in a moment."""


_BODIES = msgspec.json.Decoder(dict[str, Any], float_hook=float)
"""With the hook 1e999 is infinity, as it was for validation; the engine has its own opinion of it."""


async def work_line(
    number: int, raw: bytes, order: ShardOrder, engine: Engine, settings: WorkerSettings, *, priority: int,
    images: Images,
) -> FinishedLine:  # fmt: skip
    """The line's result, whatever became of it. Raises EngineDead, and ValueError for what is no request line."""
    line = read_line(raw, number)
    body = {**_BODIES.decode(line.body), "model": order.model}
    try:
        async with (
            asyncio.timeout(settings.line_seconds_max),
            images.loaded(body, order.account_id),
        ):
            answer = await _answer(order.endpoint, body, engine, settings, priority)
    except InvalidRequest as error:
        answer = error_answer(400, error.message, param=error.param)
    except TimeoutError:
        message = f"No answer within {settings.line_seconds_max:g} seconds."
        result = render_error(
            batch_id=order.batch_id, line=number, custom_id=line.custom_id,
            code="request_timeout", message=message,
        )  # fmt: skip
        return FinishedLine(number=number, kind="error", result=result)
    result = render_response(
        batch_id=order.batch_id, line=number, custom_id=line.custom_id,
        status_code=answer.status_code, body=answer.body,
    )  # fmt: skip
    kind = "error" if answer.status_code >= 400 else "output"
    return FinishedLine(number=number, kind=kind, result=result, usage=answer.usage)  # type: ignore[arg-type]


def cancelled_line(number: int, request_id: str, order: ShardOrder) -> FinishedLine:
    """The result of a request that was cancelled by itself."""
    result = render_error(
        batch_id=order.batch_id, line=number, custom_id=request_id, code="request_cancelled",
        message="The request was cancelled before it was finished.",
    )  # fmt: skip
    return FinishedLine(number=number, kind="error", result=result)


async def _answer(
    endpoint: str, body: dict[str, Any], engine: Engine, settings: WorkerSettings, priority: int
) -> EngineAnswer:
    """The last answer, once the line has been tried often enough."""
    for attempt in range(1, settings.line_attempts_max):
        answer = await engine.run(endpoint, body, priority=priority)
        if answer.status_code not in _PASSING:
            return answer
        await asyncio.sleep(settings.retry_seconds * 2 ** (attempt - 1) * random.uniform(0.5, 1.0))
    return await engine.run(endpoint, body, priority=priority)
