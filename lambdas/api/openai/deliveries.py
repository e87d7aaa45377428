"""`/v1/webhook_endpoints/…/deliveries`: the log of what was sent to a webhook endpoint."""

from __future__ import annotations

from collections.abc import Sequence

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import Call, Route, json_response
from lambdas.api.openai.webhooks import ENDPOINT
from lambdas.api.ports import Ports
from offpeak.core.account import Scope
from offpeak.steps.redeliver import redeliver
from offpeak.wire.openai.answers import BatchesQuery
from offpeak.wire.openai.listing import parse_listing, render_list
from offpeak.wire.openai.webhooks import (
    DeliveryList,
    DeliveryObject,
    render_delivery,
    render_whole_delivery,
)

PAGE_DELIVERIES = 20
PAGE_DELIVERIES_MAX = 100
DELIVERIES = f"{ENDPOINT}/deliveries"
DELIVERY = f"{DELIVERIES}/<delivery_id>"


class DeliveryRoutes:
    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def routes(self) -> Sequence[Route]:
        return (
            Route(
                "GET",
                DELIVERIES,
                self.list,
                scope=Scope.READ,
                summary="List what was delivered to a webhook endpoint in the last month, newest first.",
                query=BatchesQuery,
                gives=DeliveryList,
                accents=("Offpeak",),
            ),
            Route(
                "GET",
                DELIVERY,
                self.show,
                scope=Scope.READ,
                summary="Show a delivery and its event.",
                gives=DeliveryObject,
                accents=("Offpeak",),
            ),
            Route(
                "POST",
                f"{DELIVERY}/redeliver",
                self.redeliver,
                scope=Scope.ADMIN,
                summary="Send an event again, at once and by the whole schedule.",
                gives=DeliveryObject,
                accents=("Offpeak",),
            ),
        )

    def list(self, call: Call, webhook_id: str) -> Response[str]:
        webhook = self._ports.webhooks.get(call.account.id, webhook_id)
        listing = parse_listing(
            call.query, limit_default=PAGE_DELIVERIES, limit_max=PAGE_DELIVERIES_MAX
        )
        page = self._ports.deliveries.list(
            call.account.id, webhook.id, limit=listing.limit, after=listing.after
        )
        return json_response(render_list(map(render_delivery, page.rows), page.has_more))

    def show(self, call: Call, webhook_id: str, delivery_id: str) -> Response[str]:
        delivery = self._ports.deliveries.get(call.account.id, webhook_id, delivery_id)
        return json_response(render_whole_delivery(delivery))

    def redeliver(self, call: Call, webhook_id: str, delivery_id: str) -> Response[str]:
        ports = self._ports
        delivery = redeliver(
            call.account.id,
            webhook_id,
            delivery_id,
            clock=ports.clock,
            deliveries=ports.deliveries,
            changes=ports.changes,
            callbacks=ports.callbacks,
        )
        return json_response(render_delivery(delivery))
