"""A recorder between AWS's callers and the emulator: passes every call on as it is, and writes down what it was.

    with Recorder("http://127.0.0.1:4566") as recorder: …  # speak to recorder.url

It reads what AWS itself would bill by: the service out of the signature, the operation out of the protocol, DynamoDB's
rows, sizes. Who calls is what the caller's SDK says of itself (`AWS_SDK_UA_APP_ID`).
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from benchmarks.dynamo_units import CapacityMeter, Units, UnknownCall
from benchmarks.threaded_server import ThreadedServer

_SCOPE = re.compile(r"Credential=[^/]+/\d{8}/[^/]+/([a-z0-9-]+)/aws4_request")
_CALLER = re.compile(r"\bapp/(\S+)")
_HOP_BY_HOP = frozenset({"connection", "content-length", "transfer-encoding", "keep-alive"})
_METHODS = ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"]
CLIENT = "client"
CALL_SECONDS_MAX = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """`resource` is S3's key or SQS's queue; bytes are those of the bodies; `at` is monotonic."""

    caller: str
    service: str
    operation: str
    resource: str
    status: int
    sent_bytes: int
    got_bytes: int
    at: float
    units: tuple[Units, ...] = field(default=())


class Recorder(ThreadedServer):
    """`named` gives a table its name in `infra.storage.TABLES`. Safe to read while calls come in."""

    def __init__(self, target: str, named: Callable[[str], str]) -> None:
        self._target = target
        self._meter = CapacityMeter(named)
        self._lock = threading.Lock()
        self._calls: list[Call] = []
        super().__init__(_app(self))

    @property
    def target(self) -> str:
        return self._target

    def calls(self, since: int = 0) -> list[Call]:
        """All of them from number `since` on, in the order in which they were answered."""
        with self._lock:
            return self._calls[since:]

    def __len__(self) -> int:
        with self._lock:
            return len(self._calls)

    def record(self, request: Request, body: bytes, answer: httpx.Response) -> None:
        caller, service, operation, resource = describe(request, body)
        with self._lock:
            self._calls.append(
                Call(
                    caller=caller,
                    service=service,
                    operation=operation,
                    resource=resource,
                    status=answer.status_code,
                    sent_bytes=len(body),
                    got_bytes=len(answer.content),
                    at=time.monotonic(),
                    units=self._units(operation, body, answer) if service == "dynamodb" else (),
                )
            )

    def _units(self, operation: str, body: bytes, answer: httpx.Response) -> tuple[Units, ...]:
        asked, ok = json.loads(body), answer.is_success
        answered: Mapping[str, Any] = answer.json() if ok else {}
        try:
            return tuple(self._meter.count(operation, asked, answered, ok=ok))
        except UnknownCall:
            return ()  # whoever makes a bill of it is told


def _app(recorder: Recorder) -> Starlette:
    client = httpx.AsyncClient(
        timeout=CALL_SECONDS_MAX, trust_env=False,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=50),
    )  # fmt: skip

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    async def forward(request: Request) -> Response:
        body = await request.body()
        path = request.scope["raw_path"].decode("ascii")
        query = request.scope["query_string"].decode("ascii")
        asked = httpx.Request(
            request.method,
            recorder.target + path + (f"?{query}" if query else ""),
            headers=[(k, v) for k, v in request.headers.items() if k not in _HOP_BY_HOP],
            content=body,
        )
        try:
            answer = await client.send(asked)
        except httpx.HTTPError:  # the emulator is not there any more, or not able
            return Response(status_code=503)
        recorder.record(request, body, answer)
        response = Response(answer.content, status_code=answer.status_code)
        kept = [
            (k.lower(), v) for k, v in answer.headers.raw if k.decode().lower() not in _HOP_BY_HOP
        ]
        length = answer.headers.get("content-length", "0").encode()
        own = length if request.method == "HEAD" else str(len(answer.content)).encode()
        response.raw_headers = [(b"content-length", own), *kept]
        return response

    return Starlette(lifespan=lifespan, routes=[Route("/{path:path}", forward, methods=_METHODS)])


# ── what a call is ───────────────────────────────────────────────────────────────────────────────────────────────────


def describe(request: Request, body: bytes) -> tuple[str, str, str, str]:
    """Who calls, which service, which operation, and of what: S3's key or the prefix that is listed; a queue's name."""
    service = _service(request)
    operation = _operation(service, request, body)
    return _caller(request), service, operation, _resource(service, request, body)


def _caller(request: Request) -> str:
    found = _CALLER.search(request.headers.get("user-agent", ""))
    return found[1] if found else CLIENT


def _service(request: Request) -> str:
    signed = request.headers.get("authorization", "") or (
        "Credential=" + request.query_params.get("X-Amz-Credential", "")
    )
    found = _SCOPE.search(signed)
    return found[1] if found else "s3"  # an unsigned call is a presigned form's


def _operation(service: str, request: Request, body: bytes) -> str:
    if service == "s3":
        return s3_operation(request.method, request.query_params, request.headers)
    target = request.headers.get("x-amz-target", "")
    if target:
        return target.rpartition(".")[2]
    if "/operation/" in request.url.path:
        return request.url.path.rpartition("/")[2]
    action = parse_qs(body.decode(errors="replace")).get("Action")
    return action[0] if action else f"{request.method} {request.url.path}"


def s3_operation(method: str, query: Mapping[str, str], headers: Mapping[str, str]) -> str:
    """S3's name of the operation that this request is."""
    copied = "x-amz-copy-source" in headers
    if method == "PUT":
        if "partNumber" in query:
            return "UploadPartCopy" if copied else "UploadPart"
        return "CopyObject" if copied else "PutObject"
    if method == "POST":
        names = {"uploads": "CreateMultipartUpload", "uploadId": "CompleteMultipartUpload"}
        found = [operation for name, operation in names.items() if name in query]
        return found[0] if found else "DeleteObjects" if "delete" in query else "PostObject"
    if method == "DELETE":
        return "AbortMultipartUpload" if "uploadId" in query else "DeleteObject"
    if method == "GET" and ("list-type" in query or "prefix" in query):
        return "ListObjectsV2"
    return {"GET": "GetObject", "HEAD": "HeadObject"}.get(method, method)


def _resource(service: str, request: Request, body: bytes) -> str:
    """S3's key, or the prefix that is listed; a queue's name."""
    if service == "s3":
        key = unquote(request.url.path).partition("/")[2].partition("/")[2]
        return key or request.query_params.get("prefix", "")
    if service == "sqs":
        return str(json.loads(body).get("QueueUrl", "")).rpartition("/")[2]
    return ""
