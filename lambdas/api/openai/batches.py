"""`/v1/batches`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import Call, Route, json_response
from lambdas.api.exxa.groups import GroupRoutes
from lambdas.api.exxa.requests import JSON
from lambdas.api.openai.files import seconds
from lambdas.api.ports import Ports
from lambdas.api.stored_batches import add_batch, stop_batch
from offpeak.core.account import Scope
from offpeak.core.batch import Batch
from offpeak.core.layout import JSON_LINES
from offpeak.core.ports import Pools
from offpeak.core.schedule import Schedule
from offpeak.steps.create_batch import NewBatch
from offpeak.steps.read_partial_results import read_partial_results
from offpeak.steps.show_batch import show_batch
from offpeak.wire.exxa.answers import GroupObject, RequestObject, ResultObject
from offpeak.wire.exxa.bodies import CreateGroupBody
from offpeak.wire.openai.answers import BatchesQuery, BatchList, BatchObject, ResultsQuery
from offpeak.wire.openai.bodies import CreateBatchBody, parse_json
from offpeak.wire.openai.listing import parse_kind, parse_listing, render_list
from offpeak.wire.openai.objects import render_batch

PAGE_BATCHES = 20
PAGE_BATCHES_MAX = 100

RESULT_HEADERS = {
    "X-Incomplete": "`true` while the batch goes on: there will be more lines.",
    "X-Has-More": "`true` when the next page has lines at once.",
    "X-After": "The `after` of the next page. Good while the batch is, in whatever order its shards end.",
    "X-Batch-Status": "The batch's status.",
}


class BatchRoutes:
    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self._groups = GroupRoutes(ports)

    def routes(self) -> Sequence[Route]:
        return (
            Route(
                "POST",
                "/v1/batches",
                self.create,
                scope=Scope.SUBMIT,
                summary="Create a batch of an uploaded file; or, naming `requests_ids`, of requests.",
                takes=CreateBatchBody | CreateGroupBody,
                gives=BatchObject | GroupObject,
                accents=("OpenAI", "EXXA"),
                reserves=True,
            ),
            Route(
                "GET",
                "/v1/batches",
                self.list,
                scope=Scope.READ,
                summary="List the account's batches, newest first.",
                query=BatchesQuery,
                gives=BatchList,
            ),
            Route(
                "GET",
                "/v1/batches/<batch_id>",
                self.show,
                scope=Scope.READ,
                summary="Show a batch as it is now.",
                gives=BatchObject | GroupObject | RequestObject,
                accents=("OpenAI", "EXXA"),
            ),
            Route(
                "POST",
                "/v1/batches/<batch_id>/cancel",
                self.cancel,
                scope=Scope.SUBMIT,
                summary="Cancel a batch; what was done is kept.",
                gives=BatchObject | GroupObject | RequestObject,
                accents=("OpenAI", "EXXA"),
            ),
            Route(
                "GET",
                "/v1/batches/<batch_id>/results",
                self.results,
                scope=Scope.READ,
                summary="Read a batch's finished lines, also while it runs; or results of requests.",
                query=ResultsQuery,
                gives={JSON: ResultObject, JSON_LINES: str},
                accents=("Offpeak", "EXXA"),
                redirects=True,
                headers=RESULT_HEADERS,
            ),
        )

    def create(self, call: Call) -> Response[str]:
        if self._groups.takes_body(call.body):
            return self._groups.create(call)
        body = parse_json(CreateBatchBody, call.body)
        batch = add_batch(
            self._ports,
            call,
            NewBatch(
                input_file_id=body.input_file_id,
                endpoint=body.endpoint,
                completion_window=body.completion_window,
                on_invalid=body.on_invalid,
                schedule=None if body.schedule is None else Schedule(body.schedule),
                metadata=None if body.metadata is None else dict(body.metadata),
                output_expires_after=seconds(body.output_expires_after),
            ),
        )
        return json_response(self._render(batch))

    def list(self, call: Call) -> Response[str]:
        listing = parse_listing(call.query, limit_default=PAGE_BATCHES, limit_max=PAGE_BATCHES_MAX)
        page = self._ports.batches.list(call.account.id, limit=listing.limit, after=listing.after)
        return json_response(render_list(map(self._render, page.rows), page.has_more))

    def show(self, call: Call, batch_id: str) -> Response[str]:
        if self._groups.takes_id(batch_id):
            return self._groups.show(call, batch_id)
        batch = self._ports.batches.get(call.account.id, batch_id)
        return json_response(self._render(batch, self._ports.pools))

    def cancel(self, call: Call, batch_id: str) -> Response[str]:
        if self._groups.takes_id(batch_id):
            return self._groups.cancel(call, batch_id)
        batch = stop_batch(self._ports, call.account.id, batch_id)
        return json_response(self._render(batch))

    def results(self, call: Call, batch_id: str) -> Response[str]:
        if self._groups.takes_id(batch_id):
            return self._groups.results(call, batch_id)
        ports = self._ports
        page = read_partial_results(
            call.account.id,
            batch_id,
            after=call.query.get("after"),
            kind=parse_kind(call.query),
            clock=ports.clock,
            reader=ports.reader,
            files=ports.files,
            batches=ports.batches,
            runs=ports.runs,
            shards=ports.shards,
        )
        headers = {
            "X-Batch-Status": str(page.status),
            "X-Incomplete": "true" if page.incomplete else "false",
            "X-Has-More": "true" if page.has_more else "false",
            "X-After": page.after,
            "Cache-Control": "no-store",
        }
        return Response(
            status_code=200,
            content_type=JSON_LINES,
            body=page.lines.decode("ascii"),
            headers={**headers},
        )

    def _render(self, batch: Batch, pools: Pools | None = None) -> BatchObject:
        """`pools`, whose plans say when it is to begin, are asked for one batch, not for a page of them."""
        ports = self._ports
        shown = show_batch(
            batch, reader=ports.reader, runs=ports.runs, shards=ports.shards, clock=ports.clock,
            catalogue=ports.catalogue, pools=pools,
        )  # fmt: skip
        errors = None if shown.errors is None else json.loads(shown.errors)
        return render_batch(
            batch, counts=shown.counts, usage=shown.usage, errors=errors,
            completion=shown.completion,
        )  # fmt: skip
