"""The API as one callable: authentication, routes, errors in their envelope, one log line a request."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response
from aws_lambda_powertools.event_handler.middlewares import NextMiddleware

from lambdas.api.call import Route, bind, json_response, lower_headers
from lambdas.api.estimates import EstimateRoutes
from lambdas.api.exxa.groups import GroupRoutes
from lambdas.api.exxa.requests import RequestRoutes
from lambdas.api.footprints import FootprintRoutes
from lambdas.api.hive.tasks import TaskRoutes
from lambdas.api.openai.batches import BatchRoutes
from lambdas.api.openai.deliveries import DeliveryRoutes
from lambdas.api.openai.files import FileRoutes
from lambdas.api.openai.models import ModelRoutes
from lambdas.api.openai.uploads import UploadRoutes
from lambdas.api.openai.webhooks import WebhookRoutes
from lambdas.api.openapi import described
from lambdas.api.ports import Ports
from lambdas.api.together.batches import TogetherBatchRoutes
from lambdas.api.together.files import TogetherFileRoutes
from lambdas.api.usage import UsageRoutes
from offpeak.core.errors import OffpeakError
from offpeak.steps.authenticate import Authentication
from offpeak.steps.throttle import Throttle
from offpeak.wire.http_errors import error_body, http_error

App = Callable[[dict[str, Any], Any], dict[str, Any]]
"""From API Gateway's proxy event to its proxy answer."""
PATH_CHARACTERS_MAX = 200

logger = Logger(service="api")


def routes_of(ports: Ports) -> tuple[Route, ...]:
    """Every route, and the one that describes them."""
    return described(
        (
            *FileRoutes(ports).routes(),
            *UploadRoutes(ports).routes(),
            *BatchRoutes(ports).routes(),
            *RequestRoutes(ports).routes(),
            *GroupRoutes(ports).routes(),
            *TaskRoutes(ports).routes(),
            *ModelRoutes(ports.catalogue).routes(),
            *TogetherFileRoutes(ports).routes(),
            *TogetherBatchRoutes(ports).routes(),
            *WebhookRoutes(ports).routes(),
            *DeliveryRoutes(ports).routes(),
            *UsageRoutes(ports).routes(),
            *EstimateRoutes(ports).routes(),
            *FootprintRoutes(ports).routes(),
        )
    )


def build_app(ports: Ports) -> App:
    routes = routes_of(ports)
    resolver = APIGatewayRestResolver()
    authentication = Authentication(
        clock=ports.clock, accounts=ports.accounts, key_hashes=ports.key_hashes
    )
    open_paths = frozenset(route.rule for route in routes if route.scope is None)
    throttle = Throttle(
        clock=ports.clock, throttles=ports.throttles, work_metrics=ports.work_metrics
    )
    resolver.use([_authenticated_by(authentication, throttle, open_paths)])
    resolver.include_router(bind(routes))
    resolver.not_found(_nowhere(resolver, routes))
    resolver.exception_handler(OffpeakError)(_answer_error)
    resolver.exception_handler(Exception)(_answer_fault)

    def app(event: dict[str, Any], context: Any) -> dict[str, Any]:
        started = perf_counter()
        request_id = event["requestContext"]["requestId"]
        logger.append_keys(request_id=request_id)
        answer = _resolve(resolver, event, context)
        answer.setdefault("multiValueHeaders", {})["x-request-id"] = [request_id]
        logger.info(
            "answered",
            method=event["httpMethod"],
            path=event["path"][:PATH_CHARACTERS_MAX],
            status=answer["statusCode"],
            milliseconds=round((perf_counter() - started) * 1_000),
        )
        logger.remove_keys(["account_id", "key_id", "request_id"])
        return answer

    return app


def _resolve(
    resolver: APIGatewayRestResolver, event: dict[str, Any], context: Any
) -> dict[str, Any]:
    """HEAD is GET without the body."""
    if event["httpMethod"] != "HEAD":
        return resolver.resolve(event, context)
    answer = resolver.resolve({**event, "httpMethod": "GET"}, context)
    return {**answer, "body": ""}


def _authenticated_by(
    authentication: Authentication, throttle: Throttle, open_paths: frozenset[str]
) -> Callable[..., Response[str]]:
    def authenticate(
        resolver: APIGatewayRestResolver, next_middleware: NextMiddleware
    ) -> Response[str]:
        if resolver.current_event.path.rstrip("/") in open_paths:
            return next_middleware(resolver)
        caller = authentication.caller(lower_headers(resolver.current_event.raw_event))
        logger.append_keys(account_id=caller.account.id, key_id=caller.key_id)
        throttle.take(caller)
        resolver.append_context(caller=caller)  # type: ignore[no-untyped-call]
        return next_middleware(resolver)

    return authenticate


def _nowhere(
    resolver: APIGatewayRestResolver, routes: Sequence[Route]
) -> Callable[[Exception], Response[str]]:
    """404, or 405 where another method leads somewhere."""
    rules = [(re.compile(re.sub(r"<\w+>", "[^/]+", route.rule)), route.method) for route in routes]

    def answer_nowhere(_: Exception) -> Response[str]:
        event = resolver.current_event
        path = event.path.rstrip("/")
        allowed = sorted({method for rule, method in rules if rule.fullmatch(path)})
        if allowed:
            message = f"{event.http_method} is not supported here; {', '.join(allowed)} is."
            body = error_body(message, "invalid_request_error", code="method_not_allowed")
            return json_response(body, 405, {"Allow": ", ".join(allowed)})
        message = f"Unknown request URL: {event.http_method} {event.path[:PATH_CHARACTERS_MAX]}."
        return json_response(error_body(message, "invalid_request_error", code="unknown_url"), 404)

    return answer_nowhere


def _answer_error(error: OffpeakError) -> Response[str]:
    answer = http_error(error)
    message, code = error.message, error.code
    if answer.status >= 500:
        # What failed is for the log; a caller can only try again.
        logger.exception("a dependency failed")
        message, code = "The service is unavailable for a moment. Try again.", "unavailable"
    body = error_body(message, answer.type, param=error.param, code=code)
    return json_response(body, answer.status, answer.headers)


def _answer_fault(_: Exception) -> Response[str]:
    logger.exception("unexpected")
    request_id = logger.get_current_keys().get("request_id")
    body = error_body(
        f"The service failed on this request. Try again; if it lasts, report request {request_id}.",
        "server_error",
        code="internal_error",
    )
    return json_response(body, 500)
