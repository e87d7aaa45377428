"""`/v1/requests`: stand-alone requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import Call, Route, json_response, redirect
from lambdas.api.ports import Ports
from lambdas.api.send_request import RequestSender
from offpeak.core.account import Scope
from offpeak.core.request import Request
from offpeak.steps.cancel_request import cancel_request
from offpeak.steps.create_request import NewRequest
from offpeak.steps.read_result import Elsewhere, Inline, read_request_result
from offpeak.steps.show_request import show_request
from offpeak.wire.exxa.answers import RequestObject, RequestStatusObject, ResultObject
from offpeak.wire.exxa.bodies import CreateRequestBody
from offpeak.wire.exxa.objects import render_request, render_request_status
from offpeak.wire.openai.bodies import parse_json

JSON = "application/json"


class RequestRoutes:
    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._sender = RequestSender(ports)

    def routes(self) -> Sequence[Route]:
        exxa: Any = {"accents": ("EXXA",)}
        return (
            Route(
                "POST", "/v1/requests", self.create, scope=Scope.SUBMIT, summary="Send a request by itself.",
                takes=CreateRequestBody, gives=RequestObject, status=201, reserves=True, **exxa,
            ),
            Route(
                "GET", "/v1/requests/<request_id>", self.show,
                scope=Scope.READ, summary="Show a request as it is now.", gives=RequestObject, **exxa,
            ),
            Route(
                "GET", "/v1/requests/<request_id>/status", self.status,
                scope=Scope.READ, summary="Show a request's status and its batch.", gives=RequestStatusObject, **exxa,
            ),
            Route(
                "GET", "/v1/requests/<request_id>/results", self.results,
                scope=Scope.READ, summary="Read a request's result, once it has ended.", gives=ResultObject,
                redirects=True, **exxa,
            ),
            Route(
                "POST", "/v1/requests/<request_id>/cancel", self.cancel,
                scope=Scope.SUBMIT, summary="Cancel a request, also while it runs.", gives=RequestObject, **exxa,
            ),
        )  # fmt: skip

    def create(self, call: Call) -> Response[str]:
        ports = self._ports
        body = parse_json(CreateRequestBody, call.body)
        if body.webhook is not None:
            ports.destinations.check(body.webhook, param="webhook")
        request = self._sender.send(
            call,
            NewRequest(
                body=json.dumps(body.request_body, separators=(",", ":")).encode(),
                completion_window=body.completion_window,
                metadata=None if body.metadata is None else dict(body.metadata),
                callback=body.webhook,
            ),
        )
        return json_response(render_request(request), 201)

    def show(self, call: Call, request_id: str) -> Response[str]:
        return json_response(render_request(self._find(call, request_id)))

    def status(self, call: Call, request_id: str) -> Response[str]:
        return json_response(render_request_status(self._find(call, request_id)))

    def results(self, call: Call, request_id: str) -> Response[str]:
        ports = self._ports
        result = read_request_result(
            self._find(call, request_id),
            reader=ports.reader,
            writer=ports.writer,
            presigner=ports.presigner,
        )
        return render_result(result)

    def cancel(self, call: Call, request_id: str) -> Response[str]:
        ports = self._ports
        cancel_request(
            call.account.id,
            request_id,
            clock=ports.clock,
            catalogue=ports.catalogue,
            writer=ports.writer,
            changes=ports.changes,
            requests=ports.requests,
            group_checks=ports.group_checks,
            callbacks=ports.callbacks,
        )
        return json_response(render_request(self._find(call, request_id)))

    def _find(self, call: Call, request_id: str) -> Request:
        ports = self._ports
        return show_request(
            call.account.id,
            request_id,
            clock=ports.clock,
            catalogue=ports.catalogue,
            requests=ports.requests,
            groups=ports.groups,
            gatherings=ports.gatherings,
        )


def render_result(result: Inline | Elsewhere, content_type: str = JSON) -> Response[str]:
    if isinstance(result, Elsewhere):
        return redirect(result.url)
    return Response(status_code=200, content_type=content_type, body=result.body.decode("ascii"))
