"""`/api/v1/task`, and the same under `/api/v2`: what Hive calls a task is a stand-alone request here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import Call, Route, json_response
from lambdas.api.ports import Ports
from lambdas.api.send_request import RequestSender
from offpeak.core.account import Scope
from offpeak.core.errors import NotFound
from offpeak.core.request import Request
from offpeak.steps.choose_model import choose_model
from offpeak.steps.create_request import CHAT, NewRequest
from offpeak.steps.repeat_callback import repeat_callback
from offpeak.steps.show_request import show_request
from offpeak.steps.tell_ending import HIVE
from offpeak.wire.hive.answers import (
    CallbackAsked,
    TaskObject,
    TaskReceived,
    render_callback_asked,
    render_received,
    render_task,
)
from offpeak.wire.hive.bodies import TaskBody
from offpeak.wire.hive.callback import keep_input
from offpeak.wire.hive.chat import to_chat
from offpeak.wire.openai.bodies import parse_json

VERSIONS = ("v1", "v2")


class TaskRoutes:
    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._sender = RequestSender(ports)

    def routes(self) -> Sequence[Route]:
        return [route for version in VERSIONS for route in self._under(f"/api/{version}/task")]

    def _under(self, prefix: str) -> Sequence[Route]:
        hive: Any = {"accents": ("Hive",)}
        return (
            Route(
                "POST", f"{prefix}/async", self.create,
                scope=Scope.SUBMIT, summary="Send a text to a model; the result is sent to `callback_url`.",
                takes=TaskBody, gives=TaskReceived, reserves=True, **hive,
            ),
            Route(
                "GET", f"{prefix}/<task_id>", self.show, scope=Scope.READ, summary="Show a task as it is now.",
                gives=TaskObject, **hive,
            ),
            Route(
                "POST", f"{prefix}/<task_id>/callback", self.repeat,
                scope=Scope.SUBMIT, summary="Send the callback of a task that has ended again.", gives=CallbackAsked,
                **hive,
            ),
        )  # fmt: skip

    def create(self, call: Call) -> Response[str]:
        ports = self._ports
        body = parse_json(TaskBody, call.body)
        name = body.options.model or choose_model(
            call.account, CHAT, ports.catalogue, param="options.model"
        )
        chat = to_chat(body, name, ports.catalogue.find(name))
        ports.destinations.check(body.callback_url, param="callback_url")
        request = self._sender.send(
            call,
            NewRequest(
                body=json.dumps(chat, separators=(",", ":")).encode(),
                callback=body.callback_url,
                kept=keep_input(body.model_dump(mode="json", exclude_unset=True)),
                accent=HIVE,
                body_name="options",
            ),
        )
        return json_response(render_received(request))

    def show(self, call: Call, task_id: str) -> Response[str]:
        return json_response(render_task(self._find(call, task_id)))

    def repeat(self, call: Call, task_id: str) -> Response[str]:
        ports = self._ports
        request = self._find(call, task_id)
        repeat_callback(
            request,
            clock=ports.clock,
            deliveries=ports.deliveries,
            changes=ports.changes,
            callbacks=ports.callbacks,
        )
        return json_response(render_callback_asked(request))

    def _find(self, call: Call, task_id: str) -> Request:
        ports = self._ports
        request = show_request(
            call.account.id,
            task_id,
            clock=ports.clock,
            catalogue=ports.catalogue,
            requests=ports.requests,
            groups=ports.groups,
            gatherings=ports.gatherings,
        )
        if request.accent != HIVE:
            raise NotFound(f"There is no task {task_id}.")
        return request
