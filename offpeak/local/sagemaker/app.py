"""The stand-in over HTTP: SageMaker's runtime and control API as boto3 speaks them, and an admin path for tests.

Application Auto Scaling, which scales SageMaker's endpoints, answers here as well (`scaling.py`).

All regions are served at one address: a call is the region's that it is signed for, and knows no other's endpoints.

`/_local/instances` lists instances; `POST /_local/instances/{pid}` with `{"signal": "SIGKILL"}` hits one. It listens on
127.0.0.1 only.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offpeak.local.sagemaker.control import Control, ValidationError
from offpeak.local.sagemaker.endpoint import Endpoint, EndpointBusy
from offpeak.local.sagemaker.invocation import (
    INLINE_BYTES_MAX,
    TIMEOUT_SECONDS_DEFAULT,
    TIMEOUT_SECONDS_MAX,
    TTL_SECONDS_MAX,
    TTL_SECONDS_MIN,
    Invocation,
)
from offpeak.local.sagemaker.scaling import PREFIX, ScalingError
from offpeak.local.sagemaker.spec import TemplateError

INFERENCE_ID_CHARS_MAX = 64
_PREFIX = "x-amzn-sagemaker-"
_CREDENTIAL = re.compile(r"Credential=[^/]+/\d{8}/([a-z0-9-]+)/[a-z-]+/aws4_request")


def credentials_path(region: str, name: str) -> str:
    return f"/_local/credentials/{region}/{name}"


def make_app(endpoints: Sequence[Endpoint]) -> Starlette:
    api = _Api(endpoints)
    return Starlette(
        lifespan=_lifespan(endpoints),
        routes=[
            Route("/endpoints/{name}/async-invocations", api.invoke, methods=["POST"]),
            Route("/_local/instances", api.instances, methods=["GET"]),
            Route("/_local/instances/{pid:int}", api.hit, methods=["POST"]),
            Route(credentials_path("{region}", "{name}"), api.credentials, methods=["GET"]),
            Route("/", api.control, methods=["POST"]),
        ],
    )


class _Api:
    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = endpoints
        self._regions: dict[str, Control] = {}

    async def invoke(self, request: Request) -> Response:
        try:
            endpoint = self._called(request).find(request.path_params["name"])
            invocation = _parse(request.headers, await request.body())
        except ValidationError as error:
            return _refused(str(error))
        endpoint.submit(invocation)
        return _accepted(endpoint, invocation)

    async def control(self, request: Request) -> Response:
        asked_for = request.headers.get("x-amz-target", "")
        if asked_for.startswith(PREFIX):
            return await self._scale(asked_for.removeprefix(PREFIX), request)
        name = asked_for.removeprefix("SageMaker.")
        try:
            operations = self._called(request).operations
            if name not in operations:
                raise ValidationError(f"The stand-in does not know {name or 'this call'}.")
            return JSONResponse(operations[name](json.loads(await request.body())))
        except (ValidationError, EndpointBusy, TemplateError) as error:
            return JSONResponse(
                {"__type": "ValidationException", "message": str(error)}, status_code=400
            )

    async def _scale(self, name: str, request: Request) -> Response:
        try:
            operations = self._called(request).scaling
            if name not in operations:
                raise ScalingError(f"The stand-in does not know {name}.")
            return JSONResponse(operations[name](json.loads(await request.body())))
        except ValidationError as error:
            return JSONResponse(
                {"__type": "ValidationException", "Message": str(error)}, status_code=400
            )
        except ScalingError as error:
            return JSONResponse({"__type": error.kind, "Message": str(error)}, status_code=400)

    async def instances(self, _: Request) -> Response:
        return JSONResponse([row for e in self._endpoints for row in _rows(e)])

    async def hit(self, request: Request) -> Response:
        pid = request.path_params["pid"]
        number = signal.Signals[(await request.json())["signal"]]
        for endpoint in self._endpoints:
            for instance in endpoint.instances:
                if instance.pid == pid:
                    instance.send(number)
                    return JSONResponse({"pid": pid, "signal": number.name})
        return JSONResponse({"error": f"No instance has the pid {pid}."}, status_code=404)

    async def credentials(self, request: Request) -> Response:
        """What the container's SDK asks for: its role's credentials, for a while."""
        region = self._region(request.path_params["region"])
        role = region.find(request.path_params["name"]).role
        return JSONResponse(await asyncio.to_thread(role.credentials))

    def _called(self, request: Request) -> Control:
        """The region that the call is signed for. Raises ValidationError for one that isn't signed."""
        signed = _CREDENTIAL.search(request.headers.get("authorization", ""))
        if signed is None:
            raise ValidationError("The call is not signed: Signature Version 4 says its region.")
        return self._region(signed[1])

    def _region(self, name: str) -> Control:
        if name not in self._regions:
            there = {e.spec.name: e for e in self._endpoints if e.spec.region == name}
            self._regions[name] = Control(name, there)
        return self._regions[name]


def _lifespan(endpoints: Sequence[Endpoint]) -> Any:
    def lifespan(_: Starlette) -> AbstractAsyncContextManager[None]:
        return _serving(endpoints)

    return lifespan


@asynccontextmanager
async def _serving(endpoints: Sequence[Endpoint]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(endpoint.serve()) for endpoint in endpoints]
    try:
        yield
    finally:
        await asyncio.gather(*(endpoint.stop() for endpoint in endpoints))
        for task in tasks:
            task.cancel()


def _parse(headers: Mapping[str, str], body: bytes) -> Invocation:
    """The invocation these headers and this body ask for. Raises ValidationError."""
    location = headers.get(_PREFIX + "inputlocation")
    inference_id = headers.get(_PREFIX + "inference-id") or str(uuid.uuid4())
    if bool(location) == bool(body):
        raise ValidationError("Give either InputLocation or Body.")
    if len(body) > INLINE_BYTES_MAX:
        raise ValidationError(f"Body has {len(body)} bytes; at most {INLINE_BYTES_MAX} are taken.")
    if len(inference_id) > INFERENCE_ID_CHARS_MAX:
        raise ValidationError(f"InferenceId is over {INFERENCE_ID_CHARS_MAX} characters.")
    return Invocation(
        inference_id=inference_id,
        body=None if location else body,
        input_location=location,
        content_type=headers.get(_PREFIX + "content-type", "application/octet-stream"),
        accept=headers.get(_PREFIX + "accept"),
        custom_attributes=headers.get(_PREFIX + "custom-attributes"),
        ttl_seconds=_seconds(headers, "requestttlseconds", TTL_SECONDS_MIN, TTL_SECONDS_MAX),
        timeout_seconds=_seconds(
            headers, "invocationtimeoutseconds", 1, TIMEOUT_SECONDS_MAX, TIMEOUT_SECONDS_DEFAULT
        ),
        extension=headers.get(_PREFIX + "s3outputpathextension", ""),
        object_name=headers.get(_PREFIX + "filename") or str(uuid.uuid4()),
    )


def _seconds(
    headers: Mapping[str, str], name: str, low: int, high: int, default: int | None = None
) -> int:
    text = headers.get(_PREFIX + name)
    if text is None:
        return high if default is None else default
    if not text.isdecimal() or not low <= int(text) <= high:
        raise ValidationError(f"{name} takes {low} to {high} seconds, not {text!r}.")
    return int(text)


def _accepted(endpoint: Endpoint, invocation: Invocation) -> Response:
    failure = invocation.failure_location(endpoint.spec)
    headers = {"X-Amzn-SageMaker-OutputLocation": invocation.output_location(endpoint.spec)}
    if failure is not None:
        headers["X-Amzn-SageMaker-FailureLocation"] = failure
    return JSONResponse({"InferenceId": invocation.inference_id}, status_code=202, headers=headers)


def _refused(message: str) -> Response:
    return JSONResponse(
        {"Message": message}, status_code=400, headers={"x-amzn-ErrorType": "ValidationError"}
    )


def _rows(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "endpoint": endpoint.spec.name,
            "region": endpoint.spec.region,
            "instance": instance.name,
            "pid": instance.pid,
            "url": instance.url,
            "ready": instance.ready,
            "in_flight": instance.in_flight,
        }
        for instance in endpoint.instances
    ]
