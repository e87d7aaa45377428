"""EXXA's batches: groups of requests under OpenAI's path. Ids tell them apart, and at creation the body.

What its snippets do to a batch they also do to a request, by the same path: its id says which it is.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import Call, Route, json_response
from lambdas.api.exxa.requests import RequestRoutes, render_result
from lambdas.api.ports import Ports
from offpeak.core.account import Scope
from offpeak.core.errors import NotFound
from offpeak.core.group import Group
from offpeak.core.ids import GROUP, REQUEST
from offpeak.core.layout import JSON_LINES
from offpeak.steps.cancel_group import cancel_group
from offpeak.steps.group_requests import NewGroup, create_group, extend_group
from offpeak.steps.read_result import read_group_results
from offpeak.steps.show_group import show_group
from offpeak.wire.exxa.answers import (
    GroupObject,
    GroupStatusObject,
    RequestStatusObject,
)
from offpeak.wire.exxa.bodies import CreateGroupBody, ExtendGroupBody
from offpeak.wire.exxa.objects import render_group, render_group_status
from offpeak.wire.openai.bodies import JSON_BYTES_MAX, parse_json


class GroupRoutes:
    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._requests = RequestRoutes(ports)

    def routes(self) -> Sequence[Route]:
        """Those that OpenAI's batches don't have."""
        exxa: Any = {"accents": ("EXXA",)}
        return (
            Route(
                "POST", "/v1/batches/<batch_id>/requests", self.extend,
                scope=Scope.SUBMIT, summary="Put more requests into a batch of requests.", takes=ExtendGroupBody,
                gives=GroupObject, **exxa,
            ),
            Route(
                "GET", "/v1/batches/<batch_id>/status", self.status,
                scope=Scope.READ, summary="Show the status of a batch of requests, or of a request.",
                gives=GroupStatusObject | RequestStatusObject, **exxa,
            ),
        )  # fmt: skip

    @staticmethod
    def takes_body(body: bytes) -> bool:
        """Whether the body of `POST /v1/batches` is EXXA's."""
        if b'"requests_ids"' not in body or len(body) > JSON_BYTES_MAX:
            return False
        try:
            fields = json.loads(body)
        except (ValueError, RecursionError):
            return False
        return isinstance(fields, dict) and "requests_ids" in fields

    @staticmethod
    def takes_id(batch_id: str) -> bool:
        return batch_id.startswith((GROUP, REQUEST))

    def create(self, call: Call) -> Response[str]:
        ports = self._ports
        body = parse_json(CreateGroupBody, call.body)
        if body.webhook is not None:
            ports.destinations.check(body.webhook, param="webhook")
        group = create_group(
            call.account,
            NewGroup(
                request_ids=body.requests_ids,
                metadata=None if body.metadata is None else dict(body.metadata),
                callback=body.webhook,
            ),
            idempotency_key=call.idempotency_key,
            clock=ports.clock,
            writer=ports.writer,
            changes=ports.changes,
            requests=ports.requests,
            groups=ports.groups,
            idempotency=ports.idempotency,
            group_checks=ports.group_checks,
        )
        return json_response(render_group(group, group.shown_status))

    def extend(self, call: Call, batch_id: str) -> Response[str]:
        ports = self._ports
        body = parse_json(ExtendGroupBody, call.body)
        extend_group(
            call.account,
            batch_id,
            body.requests_ids,
            clock=ports.clock,
            writer=ports.writer,
            changes=ports.changes,
            requests=ports.requests,
            groups=ports.groups,
            group_checks=ports.group_checks,
        )
        return json_response(render_group(*self._find(call, batch_id)))

    def show(self, call: Call, batch_id: str) -> Response[str]:
        if batch_id.startswith(REQUEST):
            return self._requests.show(call, batch_id)
        return json_response(render_group(*self._find(call, batch_id)))

    def status(self, call: Call, batch_id: str) -> Response[str]:
        if batch_id.startswith(REQUEST):
            return self._requests.status(call, batch_id)
        return json_response(render_group_status(*self._find(call, batch_id)))

    def results(self, call: Call, batch_id: str) -> Response[str]:
        if batch_id.startswith(REQUEST):
            return self._requests.results(call, batch_id)
        ports = self._ports
        result = read_group_results(
            call.account.id,
            batch_id,
            reader=ports.reader,
            groups=ports.groups,
            presigner=ports.presigner,
        )
        return render_result(result, JSON_LINES)

    def cancel(self, call: Call, batch_id: str) -> Response[str]:
        if batch_id.startswith(REQUEST):
            return self._requests.cancel(call, batch_id)
        ports = self._ports
        cancel_group(
            call.account.id,
            batch_id,
            clock=ports.clock,
            catalogue=ports.catalogue,
            reader=ports.reader,
            writer=ports.writer,
            changes=ports.changes,
            requests=ports.requests,
            groups=ports.groups,
            group_checks=ports.group_checks,
            callbacks=ports.callbacks,
        )
        return json_response(render_group(*self._find(call, batch_id)))

    def _find(self, call: Call, batch_id: str) -> tuple[Group, str]:
        if not batch_id.startswith(GROUP):
            raise NotFound(f"There is no batch of requests {batch_id}.")
        ports = self._ports
        return show_group(
            call.account.id,
            batch_id,
            clock=ports.clock,
            catalogue=ports.catalogue,
            requests=ports.requests,
            groups=ports.groups,
            gatherings=ports.gatherings,
        )
