"""What the door itself answers: the API's JSON and the API's error envelope."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from containers.door.inflow import Inflow
from offpeak.core.errors import OffpeakError
from offpeak.wire.http_errors import error_body, http_error

logger = logging.getLogger(__name__)
DISCARD_BYTES_MAX = 64 << 20
DISCARD_SECONDS_MAX = 5.0


class Refusal(Response):
    """An error that may come before the body has: sent at once, and what the caller still sends is thrown away for a
    while. A connection that is closed under a caller who is writing loses the answer."""

    media_type = "application/json"

    def __init__(self, error: OffpeakError, inflow: Inflow | None = None) -> None:
        answer = http_error(error)
        message, code = error.message, error.code
        if answer.status >= 500:
            # What failed is for the log; a caller can only try again.
            logger.error("a dependency failed", exc_info=error)
            message, code = "The service is unavailable for a moment. Try again.", "unavailable"
        super().__init__(
            json.dumps(error_body(message, answer.type, param=error.param, code=code)),
            answer.status,
            dict(answer.headers),
        )
        self._inflow = inflow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._inflow is None or self._inflow.at_end:
            await super().__call__(scope, receive, send)
            return
        self.headers["connection"] = "close"
        await send(
            {"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers}
        )
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        await self._inflow.discard(DISCARD_BYTES_MAX, DISCARD_SECONDS_MAX)
        await send({"type": "http.response.body", "body": b""})


def bad_gateway(message: str, status: int = 502) -> Response:
    return _envelope(error_body(message, "server_error", code="bad_gateway"), status)


def fault(request_id: str) -> Response:
    message = (
        f"The service failed on this request. Try again; if it lasts, report request {request_id}."
    )
    return _envelope(error_body(message, "server_error", code="internal_error"), 500)


def too_long() -> Response:
    """As API Gateway says it."""
    return _envelope(
        error_body("Request Too Long", "invalid_request_error", code="request_too_large"), 413
    )


def _envelope(body: Mapping[str, object], status: int) -> Response:
    return Response(json.dumps(body), status, media_type="application/json")
