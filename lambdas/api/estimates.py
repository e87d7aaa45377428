"""`/v1/batches/estimate`: what a file would cost, before it runs."""

from __future__ import annotations

from collections.abc import Sequence

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import Call, Route, json_response
from lambdas.api.ports import Ports
from lambdas.api.render_estimate import render_estimate
from offpeak.core.account import Scope
from offpeak.core.window import parse_window
from offpeak.steps.estimate_batch import estimate_batch
from offpeak.wire.money_answers import EstimateObject
from offpeak.wire.openai.bodies import EstimateBatchBody, parse_json


class EstimateRoutes:
    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def routes(self) -> Sequence[Route]:
        return (
            Route(
                "POST",
                "/v1/batches/estimate",
                self.estimate,
                scope=Scope.READ,
                summary="Price an uploaded file before it runs: tokens, cost, and when it would be done.",
                takes=EstimateBatchBody,
                gives=EstimateObject,
                accents=("Offpeak",),
            ),
        )

    def estimate(self, call: Call) -> Response[str]:
        ports = self._ports
        body = parse_json(EstimateBatchBody, call.body)
        window_seconds = parse_window(body.completion_window)
        estimate = estimate_batch(
            call.account, body.input_file_id, body.endpoint, clock=ports.clock, files=ports.files,
            reader=ports.reader, runs=ports.runs, ledger=ports.ledger,
            tokenizers=ports.tokenizers, catalogue=ports.catalogue,
        )  # fmt: skip
        return json_response(
            render_estimate(estimate, body, int(ports.clock.now()), window_seconds)
        )
