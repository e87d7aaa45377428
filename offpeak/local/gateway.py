"""The gateway behind the door: passes every request to the emulator's API Gateway stage, with the limits that the
emulator lacks.

API Gateway takes 10 MB and waits 29 s, Lambda takes 6 MB of event and gives 6 MB of answer; what is over gets the
gateway's own answer, in the envelope of the synthesised GatewayResponses. `GET /` says what this is. Nothing else is
added or taken away.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

GATEWAY_BYTES_MAX = 10_485_760
LAMBDA_BYTES_MAX = 6_291_556
GATEWAY_SECONDS_MAX = 29.0
CALLS_AT_ONCE_MAX = 12
"""On AWS functions scale with their callers. Here each call beyond those that run starts a process, at the cost of the
others: a crowd would bring itself to a stop. So it waits in line instead, without a limit in time."""
CONTEXT_BYTES = 2_000  # requestContext and the field names of a proxy event, about
_HOP_BY_HOP = frozenset(
    {"connection", "content-length", "host", "keep-alive", "te", "transfer-encoding", "upgrade"}
)
_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]


class TooMuch(Exception):
    """More bytes than the gateway or Lambda takes."""


class Broken(Exception):
    """The function failed, as API Gateway sees it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """`target` is the stage's URL on the emulator. `answers` are the properties of the template's GatewayResponses,
    `binary_types` its binaryMediaTypes."""

    port: int
    target: str
    answers: Sequence[Mapping[str, Any]]
    binary_types: Sequence[str]

    def own_answer(self, kind: str, status: int, message: str) -> Response:
        """What API Gateway itself answers: the response of this type, else its class's default, else its bare form."""
        by_kind = {answer["ResponseType"]: answer for answer in self.answers}
        found = by_kind.get(kind) or by_kind.get(f"DEFAULT_{status // 100}XX") or {}
        template = found.get("ResponseTemplates", {}).get(
            "application/json", '{"message":$context.error.messageString}'
        )
        body = (
            template.replace("$context.error.messageString", json.dumps(message))
            .replace("$context.error.message", message)
            .replace("$context.error.responseType", kind)
            .replace("$context.requestId", "")
        )
        return Response(
            body,
            status_code=int(found.get("StatusCode", status)),
            headers=_static_headers(found.get("ResponseParameters", {})),
            media_type="application/json",
        )

    def event_bytes(self, headers: Mapping[str, str], body: bytes) -> int:
        """About how large the Lambda event of this request is."""
        if self._is_binary(headers.get("content-type", "")):
            carried = len(base64.b64encode(body))
        else:
            carried = len(json.dumps(body.decode(errors="replace")))
        # Headers ride twice: as `headers` and as `multiValueHeaders`.
        return carried + 2 * sum(len(k) + len(v) + 8 for k, v in headers.items()) + CONTEXT_BYTES

    def _is_binary(self, content_type: str) -> bool:
        media_type = content_type.partition(";")[0].strip().lower()
        return "*/*" in self.binary_types or media_type in self.binary_types


def _static_headers(parameters: Mapping[str, str]) -> dict[str, str]:
    """`gatewayresponse.header.X: "'value'"` → `X: value`."""
    prefix = "gatewayresponse.header."
    return {
        name.removeprefix(prefix): value.strip("'")
        for name, value in parameters.items()
        if name.startswith(prefix) and value.startswith("'")
    }


def make_app(gateway: Gateway) -> Starlette:
    client = httpx.AsyncClient(
        timeout=httpx.Timeout(GATEWAY_SECONDS_MAX, pool=None),
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=20),
        trust_env=False,
    )
    line = asyncio.Semaphore(CALLS_AT_ONCE_MAX)

    async def hello(_: Request) -> Response:
        return JSONResponse({"service": "offpeak", "api": "/v1", "stage": "local"})

    async def forward(request: Request) -> Response:
        try:
            body = await _read(request)
            if gateway.event_bytes(request.headers, body) > LAMBDA_BYTES_MAX:
                raise TooMuch
        except TooMuch:
            return gateway.own_answer("REQUEST_TOO_LARGE", 413, "Request Too Long")
        try:
            async with line:
                return await _ask(client, gateway, request, body)
        except httpx.TimeoutException:
            return gateway.own_answer("INTEGRATION_TIMEOUT", 504, "Endpoint request timed out")
        except (httpx.HTTPError, Broken):
            return gateway.own_answer("INTEGRATION_FAILURE", 502, "Internal server error")

    def lifespan(_: Starlette) -> AbstractAsyncContextManager[None]:
        return _closing(client)

    return Starlette(
        lifespan=lifespan,
        routes=[
            Route("/", hello, methods=["GET"]),
            Route("/{path:path}", forward, methods=_METHODS),
        ],
    )


@asynccontextmanager
async def _closing(client: httpx.AsyncClient) -> AsyncIterator[None]:
    async with client:
        yield


async def _read(request: Request) -> bytes:
    """The body. Raises TooMuch once it is over the gateway's limit, however it comes."""
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > GATEWAY_BYTES_MAX:
            raise TooMuch
        chunks.append(chunk)
    return b"".join(chunks)


async def _ask(
    client: httpx.AsyncClient, gateway: Gateway, request: Request, body: bytes
) -> Response:
    path = request.scope["raw_path"].decode("ascii")
    query = request.scope["query_string"].decode("ascii")
    asked = httpx.Request(
        request.method,
        gateway.target + path + (f"?{query}" if query else ""),
        headers=[(k, v) for k, v in request.headers.items() if k not in _HOP_BY_HOP],
        content=body,
    )
    answer = await client.send(asked, stream=True)
    try:
        if answer.status_code == 502:  # the function broke; our own answers never have this status
            raise Broken
        content, size = [], 0
        async for chunk in answer.aiter_raw():
            size += len(chunk)
            if size > LAMBDA_BYTES_MAX:
                raise Broken
            content.append(chunk)
    finally:
        await answer.aclose()
    response = Response(b"".join(content), status_code=answer.status_code)
    kept = [(k, v) for k, v in answer.headers.raw if k.decode().lower() not in _HOP_BY_HOP]
    response.raw_headers = [h for h in response.raw_headers if h[0] == b"content-length"] + [
        (name.lower(), value) for name, value in kept
    ]
    return response


def encode_config(gateway: Gateway) -> str:
    return json.dumps(asdict(gateway))


def main() -> None:
    gateway = Gateway(**json.loads(Path(sys.argv[1]).read_text()))
    uvicorn.run(
        make_app(gateway),
        host="127.0.0.1",
        port=gateway.port,
        log_level="warning",
        server_header=False,
        date_header=False,
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
