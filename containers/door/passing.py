"""Everything that isn't the door's own goes on to API Gateway, and its answer back, both as they come.

Where a caller asks for it by `?redirect=false`, a redirect to S3 is followed here, for clients that can't: `Range` and
the conditions of the request go along, the API key doesn't.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Final
from urllib.parse import parse_qsl

import httpx
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from containers.door.answers import bad_gateway, too_long
from containers.door.buffers import Buffers
from containers.door.settings import DoorSettings
from offpeak.core.errors import Unavailable

GATEWAY_BYTES_MAX = 10_485_760
GATEWAY_SECONDS_MAX = 35.0  # it gives up after 29 by itself
CONNECT_SECONDS_MAX = 5.0
IDLE_SECONDS_MAX = 20.0
CONNECTIONS_MAX = 512
_HOP_BY_HOP: Final = frozenset(
    {
        "connection", "expect", "host", "keep-alive", "proxy-authenticate", "proxy-authorization",
        "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
_NO_REDIRECT = ("redirect", "false")
_ASKED_OF_S3 = ("range", "if-range", "if-match", "if-none-match", "if-modified-since")
_TOLD_BY_S3 = frozenset(
    {
        b"accept-ranges", b"content-disposition", b"content-length", b"content-range", b"content-type",
        b"etag", b"last-modified",
    }
)  # fmt: skip
_GOOD_OF_S3 = frozenset({200, 206, 304, 412, 416})


class Passing:
    """An ASGI application: all methods, all paths."""

    def __init__(self, settings: DoorSettings) -> None:
        self._gateway_url = settings.gateway_url
        self._buffers = Buffers(settings.bytes_held_max // 4)
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(GATEWAY_SECONDS_MAX, connect=CONNECT_SECONDS_MAX),
            transport=httpx.AsyncHTTPTransport(
                retries=1,
                trust_env=False,
                limits=httpx.Limits(
                    max_connections=CONNECTIONS_MAX, keepalive_expiry=IDLE_SECONDS_MAX
                ),
            ),
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await self._pass_on(request)
        await response(scope, receive, send)

    async def _pass_on(self, request: Request) -> Response:
        try:
            answer = await self._asked(request)
            if answer is None:
                return too_long()
            if _wants_bytes(request) and answer.status_code in (302, 307):
                return await self._followed(request, answer)
        except httpx.TimeoutException:
            return bad_gateway("The service has not answered in time. Try again.", 504)
        except (httpx.HTTPError, Unavailable):
            return bad_gateway("The service can't be reached right now. Try again.")
        except ClientDisconnect:
            return Response(status_code=499)
        kept = [(k, v) for k, v in answer.headers.raw if k.decode().lower() not in _HOP_BY_HOP]
        return _streamed(answer, kept)

    async def _asked(self, request: Request) -> httpx.Response | None:
        """The gateway's answer, its body to come; None where the request is too long for it. A body goes on as it
        comes. One that doesn't say how long it is is held, for the gateway wants to know; it takes 10 MB at most."""
        if "transfer-encoding" not in request.headers:
            has_body = "content-length" in request.headers
            return await self._send(request, request.stream() if has_body else None)
        async with self._buffers.reserved(GATEWAY_BYTES_MAX):
            body = bytearray()
            async for chunk in request.stream():
                body += chunk
                if len(body) > GATEWAY_BYTES_MAX:
                    return None
            return await self._send(request, bytes(body))

    async def _send(
        self, request: Request, body: bytes | AsyncIterator[bytes] | None
    ) -> httpx.Response:
        path = request.scope["raw_path"].decode("latin-1")
        query = _passed_query(request)
        headers = [(k, v) for k, v in request.headers.items() if k not in _HOP_BY_HOP]
        asked = httpx.Request(
            request.method,
            self._gateway_url + path + (f"?{query}" if query else ""),
            headers=headers,
            content=body,
        )
        return await self._client.send(asked, stream=True)

    async def _followed(self, request: Request, redirect: httpx.Response) -> Response:
        await redirect.aclose()
        headers = {name: request.headers[name] for name in _ASKED_OF_S3 if name in request.headers}
        # Not packed on the way: a range is one of the object's bytes.
        asked = httpx.Request(
            "GET", redirect.headers["location"], headers={**headers, "accept-encoding": "identity"}
        )
        answer = await self._client.send(asked, stream=True)
        if answer.status_code not in _GOOD_OF_S3:
            await answer.aclose()
            return bad_gateway(f"S3 answered {answer.status_code}. Try again.")
        kept = [(k, v) for k, v in answer.headers.raw if k.lower() in _TOLD_BY_S3]
        return _streamed(answer, [*kept, (b"cache-control", b"no-store")])


def _streamed(answer: httpx.Response, headers: Iterable[tuple[bytes, bytes]]) -> Response:
    async def chunks() -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.aiter_raw():
                yield chunk
        finally:
            await asyncio.shield(answer.aclose())

    response = StreamingResponse(chunks(), status_code=answer.status_code)
    response.raw_headers = [(name.lower(), value) for name, value in headers]
    return response


def _wants_bytes(request: Request) -> bool:
    return request.method == "GET" and _NO_REDIRECT in parse_qsl(request.url.query)


def _passed_query(request: Request) -> str:
    """As it came, without what was meant for the door."""
    query: str = request.scope["query_string"].decode("latin-1")
    if not _wants_bytes(request):
        return query
    return "&".join(part for part in query.split("&") if part != "=".join(_NO_REDIRECT))
