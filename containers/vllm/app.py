"""SageMaker's container contract over an instance: `GET /ping`, `POST /invocations`; and `/stats` for the loopback."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offpeak.core.errors import InvalidRequest, OffpeakError, Unavailable
from offpeak.core.invocation import ShardOrder
from offpeak.wire.invocation import ORDER_BYTES_MAX, decode_order, encode_report
from offpeak.worker.engine import EngineDead
from offpeak.worker.instance import Instance

logger = logging.getLogger(__name__)
_LOOPBACK = frozenset({"127.0.0.1", "::1"})


Keep = Callable[[ShardOrder, bytes], None]


class Contract:
    """Every answer carries Content-Length: the async endpoint loses those that don't."""

    def __init__(self, instance: Instance, keep: Keep | None) -> None:
        self._instance = instance
        self._keep = keep

    async def ping(self, _: Request) -> Response:
        """200 when an invocation would be taken."""
        return Response(status_code=200 if await self._instance.ready() else 503)

    async def invocations(self, request: Request) -> Response:
        """A ShardOrder in, its ShardReport out. Any status but 200 means: this attempt has failed."""
        try:
            order = _parse_order(await _read_body(request))
            report = await self._instance.work(order)
            answer = encode_report(report)
            if self._keep is not None:
                await asyncio.to_thread(self._keep, order, answer)
        except InvalidRequest as error:
            return _failure(400, error)
        except Unavailable as error:
            return _failure(503, error)
        except EngineDead as error:
            logger.exception("the engine is dead")
            return _failure(500, OffpeakError(str(error), code="engine_dead"))
        return Response(answer, media_type="application/json")

    async def stats(self, request: Request) -> Response:
        """Counters since the start. Not for the outside, which SageMaker shows only the two routes above."""
        if request.client is None or request.client.host not in _LOOPBACK:
            return Response(status_code=404)
        return JSONResponse(dict(self._instance.stats()))


def create_app(instance: Instance, keep: Keep | None = None) -> Starlette:
    """`keep` is called with each order and its report, before it is answered; it blocks."""
    contract = Contract(instance, keep)
    return Starlette(
        routes=[
            Route("/ping", contract.ping, methods=["GET"]),
            Route("/invocations", contract.invocations, methods=["POST"]),
            Route("/stats", contract.stats, methods=["GET"]),
        ],
        exception_handlers={Exception: _unexpected},
    )


def _parse_order(body: bytes) -> ShardOrder:
    try:
        return decode_order(body)
    except ValueError as error:
        raise InvalidRequest(f"This is no shard order: {error}") from None


async def _read_body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > ORDER_BYTES_MAX:
            raise InvalidRequest(f"A shard order has at most {ORDER_BYTES_MAX} bytes.")
    return bytes(body)


async def _unexpected(_: Request, error: Exception) -> Response:
    logger.error("an invocation failed", exc_info=error)
    return _failure(500, OffpeakError("The shard failed.", code="shard_failed"))


def _failure(status_code: int, error: OffpeakError) -> Response:
    kind = "invalid_request_error" if status_code < 500 else "server_error"
    envelope = {
        "message": error.message, "type": kind, "param": error.param, "code": error.code,
    }  # fmt: skip
    return JSONResponse({"error": envelope}, status_code=status_code)
