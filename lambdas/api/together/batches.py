"""`/together/v1/batches`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import TOGETHER, Call, Route, json_response
from lambdas.api.ports import Ports
from lambdas.api.stored_batches import add_batch, stop_batch
from offpeak.core.account import Scope
from offpeak.core.batch import Batch
from offpeak.core.schedule import Schedule
from offpeak.steps.choose_schedule import choose_window
from offpeak.steps.create_batch import NewBatch
from offpeak.steps.show_batch import show_batch
from offpeak.wire.openai.bodies import parse_json
from offpeak.wire.openai.listing import parse_listing
from offpeak.wire.together.answers import CreatedJob, JobsQuery, TogetherJob
from offpeak.wire.together.bodies import CreateJobBody
from offpeak.wire.together.objects import render_job

LIST_JOBS = 100
LIST_JOBS_MAX = 1_000
BATCHES = "/together/v1/batches"


class TogetherBatchRoutes:
    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def routes(self) -> Sequence[Route]:
        return (
            Route(
                "POST", BATCHES, self.create, accents=TOGETHER, reserves=True, takes=CreateJobBody,
                gives=CreatedJob, scope=Scope.SUBMIT, summary="Create a batch of an uploaded file.",
            ),
            Route(
                "GET", BATCHES, self.list, accents=TOGETHER, query=JobsQuery,
                gives=list[TogetherJob], scope=Scope.READ, summary="List the account's batches, newest first.",
            ),
            Route(
                "GET", f"{BATCHES}/<batch_id>", self.show, accents=TOGETHER, gives=TogetherJob,
                scope=Scope.READ, summary="Show a batch as it is now.",
            ),
            Route(
                "POST", f"{BATCHES}/<batch_id>/cancel", self.cancel, accents=TOGETHER,
                gives=TogetherJob, scope=Scope.SUBMIT, summary="Cancel a batch; what was done is kept.",
            ),
        )  # fmt: skip

    def create(self, call: Call) -> Response[str]:
        body = parse_json(CreateJobBody, call.body)
        batch = add_batch(
            self._ports,
            call,
            NewBatch(
                input_file_id=body.input_file_id,
                endpoint=body.endpoint,
                completion_window=choose_window(call.account, body.completion_window),
                schedule=None if body.schedule is None else Schedule(body.schedule),
                accent="together",
            ),
        )
        return json_response({"job": self._render(batch), "warning": _warning(body)})

    def list(self, call: Call) -> Response[str]:
        """A bare array, as Together's clients expect it."""
        listing = parse_listing(call.query, limit_default=LIST_JOBS, limit_max=LIST_JOBS_MAX)
        page = self._ports.batches.list(call.account.id, limit=listing.limit, after=listing.after)
        return json_response(json.dumps([self._render(batch) for batch in page.rows]))

    def show(self, call: Call, batch_id: str) -> Response[str]:
        return json_response(self._render(self._ports.batches.get(call.account.id, batch_id)))

    def cancel(self, call: Call, batch_id: str) -> Response[str]:
        batch = stop_batch(self._ports, call.account.id, batch_id)
        return json_response(self._render(batch))

    def _render(self, batch: Batch) -> TogetherJob:
        ports = self._ports
        shown = show_batch(batch, reader=ports.reader, runs=ports.runs, shards=ports.shards)
        return render_job(batch, counts=shown.counts, errors=shown.errors)


def _warning(body: CreateJobBody) -> str:
    warnings = []
    if body.model_id is not None:
        warnings.append("'model_id' has no effect: each line names its model.")
    if body.priority is not None:
        warnings.append("'priority' has no effect: batches go by their completion window.")
    return " ".join(warnings)
