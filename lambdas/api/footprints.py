"""`/v1/batches/{id}/footprint`: what a batch took."""

from __future__ import annotations

from collections.abc import Sequence

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import Call, Route, json_response
from lambdas.api.ports import Ports
from offpeak.core.account import Scope
from offpeak.steps.show_footprint import show_footprint
from offpeak.wire.footprint import FootprintObject, render_footprint


class FootprintRoutes:
    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def routes(self) -> Sequence[Route]:
        return (
            Route(
                "GET",
                "/v1/batches/<batch_id>/footprint",
                self.show,
                summary="Show the energy, carbon and GPU cost of a batch, and by which method.",
                gives=FootprintObject,
                accents=("Offpeak",),
                scope=Scope.READ,
            ),
        )

    def show(self, call: Call, batch_id: str) -> Response[str]:
        ports = self._ports
        shown = show_footprint(
            call.account.id, batch_id, clock=ports.clock, reader=ports.reader,
            batches=ports.batches, runs=ports.runs, catalogue=ports.catalogue, region=ports.region,
        )  # fmt: skip
        batch = shown.batch
        return json_response(
            render_footprint(
                batch.id, batch.status.value, batch.is_terminal, shown.footprint, home=shown.home,
                sources=shown.sources, instance_types=shown.instance_types,
            )
        )  # fmt: skip
