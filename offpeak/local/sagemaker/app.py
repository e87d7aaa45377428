"""The stand-in over HTTP: SageMaker's runtime and control API as boto3 speaks them, and an admin path for tests.

Of the control API it knows what an update takes: CreateModel, CreateEndpointConfig, UpdateEndpoint, DescribeEndpoint.
Application Auto Scaling, which scales SageMaker's endpoints, answers here as well (`scaling.py`).

`/_local/instances` lists instances; `POST /_local/instances/{pid}` with `{"signal": "SIGKILL"}` hits one. It listens on
127.0.0.1 only.
"""

from __future__ import annotations

import asyncio
import json
import signal
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offpeak.local.deploy import PSEUDO_PARAMETERS
from offpeak.local.sagemaker.endpoint import Endpoint, EndpointBusy
from offpeak.local.sagemaker.invocation import (
    INLINE_BYTES_MAX,
    TIMEOUT_SECONDS_DEFAULT,
    TIMEOUT_SECONDS_MAX,
    TTL_SECONDS_MAX,
    TTL_SECONDS_MIN,
    Invocation,
)
from offpeak.local.sagemaker.scaling import (
    PREFIX,
    ScalableTarget,
    ScalingApi,
    ScalingError,
)
from offpeak.local.sagemaker.spec import EndpointSpec, TemplateError, describe_endpoint

INFERENCE_ID_CHARS_MAX = 64
_PREFIX = "x-amzn-sagemaker-"


class ValidationError(ValueError):
    """SageMaker's own 400."""


def credentials_path(name: str) -> str:
    return f"/_local/credentials/{name}"


def make_app(endpoints: Sequence[Endpoint]) -> Starlette:
    api = _Api(endpoints)
    return Starlette(
        lifespan=_lifespan(endpoints),
        routes=[
            Route("/endpoints/{name}/async-invocations", api.invoke, methods=["POST"]),
            Route("/_local/instances", api.instances, methods=["GET"]),
            Route("/_local/instances/{pid:int}", api.hit, methods=["POST"]),
            Route(credentials_path("{name}"), api.credentials, methods=["GET"]),
            Route("/", api.control, methods=["POST"]),
        ],
    )


class _Api:
    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        self._endpoints = {endpoint.spec.name: endpoint for endpoint in endpoints}
        self._models: dict[str, Mapping[str, Any]] = {}
        self._configs: dict[str, Mapping[str, Any]] = {}

    async def invoke(self, request: Request) -> Response:
        try:
            endpoint = self._find(request.path_params["name"])
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
        operations: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "CreateModel": self._create_model,
            "CreateEndpointConfig": self._create_config,
            "UpdateEndpoint": self._update,
            "DescribeEndpoint": lambda asked: _description(self._find(asked["EndpointName"])),
        }
        try:
            if name not in operations:
                raise ValidationError(f"The stand-in does not know {name or 'this call'}.")
            return JSONResponse(operations[name](json.loads(await request.body())))
        except (ValidationError, EndpointBusy, TemplateError) as error:
            return JSONResponse(
                {"__type": "ValidationException", "message": str(error)}, status_code=400
            )

    async def _scale(self, name: str, request: Request) -> Response:
        operations = ScalingApi(self._target).operations
        try:
            if name not in operations:
                raise ScalingError(f"The stand-in does not know {name}.")
            return JSONResponse(operations[name](json.loads(await request.body())))
        except ScalingError as error:
            return JSONResponse({"__type": error.kind, "Message": str(error)}, status_code=400)

    def _target(self, name: str, variant: str) -> ScalableTarget:
        endpoint = self._endpoints.get(name)
        if endpoint is None or endpoint.spec.variant != variant:
            raise ScalingError(
                f"No scalable target registered for endpoint/{name}/variant/{variant}.",
                "ObjectNotFoundException",
            )
        return endpoint.target

    def _create_model(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        self._models[asked["ModelName"]] = asked
        return {"ModelArn": _arn("model", asked["ModelName"])}

    def _create_config(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        for variant in asked["ProductionVariants"]:
            if variant["ModelName"] not in self._models:
                raise ValidationError(f"Could not find model {variant['ModelName']}.")
        self._configs[asked["EndpointConfigName"]] = asked
        return {"EndpointConfigArn": _arn("endpoint-config", asked["EndpointConfigName"])}

    def _update(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        endpoint, config_name = self._find(asked["EndpointName"]), asked["EndpointConfigName"]
        config = self._configs.get(config_name)
        if config is None:
            raise ValidationError(f"Could not find endpoint configuration {config_name}.")
        endpoint.update(self._spec(endpoint, config_name, config))
        return {"EndpointArn": endpoint.spec.arn}

    def _spec(
        self, endpoint: Endpoint, config_name: str, config: Mapping[str, Any]
    ) -> EndpointSpec:
        [variant] = config["ProductionVariants"]
        return describe_endpoint(
            endpoint.spec.name,
            config_name,
            config,
            self._models[variant["ModelName"]],
            instances_max=endpoint.spec.instances_max,
        )

    async def instances(self, _: Request) -> Response:
        return JSONResponse([row for e in self._endpoints.values() for row in _rows(e)])

    async def hit(self, request: Request) -> Response:
        pid = request.path_params["pid"]
        number = signal.Signals[(await request.json())["signal"]]
        for endpoint in self._endpoints.values():
            for instance in endpoint.instances:
                if instance.pid == pid:
                    instance.send(number)
                    return JSONResponse({"pid": pid, "signal": number.name})
        return JSONResponse({"error": f"No instance has the pid {pid}."}, status_code=404)

    async def credentials(self, request: Request) -> Response:
        """What the container's SDK asks for: its role's credentials, for a while."""
        endpoint = self._find(request.path_params["name"])
        return JSONResponse(await asyncio.to_thread(endpoint.role.credentials))

    def _find(self, name: str) -> Endpoint:
        if name not in self._endpoints:
            account = PSEUDO_PARAMETERS["AWS::AccountId"]
            raise ValidationError(f"Endpoint {name} of account {account} not found.")
        return self._endpoints[name]


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


def _arn(kind: str, name: str) -> str:
    region, account = PSEUDO_PARAMETERS["AWS::Region"], PSEUDO_PARAMETERS["AWS::AccountId"]
    return f"arn:aws:sagemaker:{region}:{account}:{kind}/{name}"


def _description(endpoint: Endpoint) -> dict[str, Any]:
    spec, ready = endpoint.spec, len(endpoint.ready)
    settled = ready >= endpoint.desired and not endpoint.updating
    description = {
        "EndpointName": spec.name,
        "EndpointArn": spec.arn,
        "EndpointConfigName": spec.config_name,
        "EndpointStatus": "InService" if settled else "Updating",
        "CreationTime": endpoint.created_at.timestamp(),
        "LastModifiedTime": endpoint.modified_at.timestamp(),
        "ProductionVariants": [
            {
                "VariantName": spec.variant,
                "CurrentInstanceCount": ready,
                "DesiredInstanceCount": endpoint.desired,
            }
        ],
    }
    return description | ({"FailureReason": endpoint.failure} if endpoint.failure else {})


def _rows(endpoint: Endpoint) -> list[dict[str, Any]]:
    return [
        {
            "endpoint": endpoint.spec.name,
            "instance": instance.name,
            "pid": instance.pid,
            "url": instance.url,
            "ready": instance.ready,
            "in_flight": instance.in_flight,
        }
        for instance in endpoint.instances
    ]
