"""`/v1/usage` and `/v1/credits`: what the account used, and what it has."""

from __future__ import annotations

from collections.abc import Sequence

from aws_lambda_powertools.event_handler import Response

from lambdas.api.call import Call, Route, json_response
from lambdas.api.ports import Ports
from offpeak.core.account import Scope
from offpeak.core.errors import InvalidRequest
from offpeak.steps.show_usage import DAY_SECONDS, UsageQuery, UsedTokens, show_usage
from offpeak.wire.money import (
    parse_cursor,
    parse_groups,
    parse_time,
    parse_whole,
    render_amount,
    render_credits,
    render_usage,
    render_usage_footprint,
)
from offpeak.wire.money_answers import (
    CreditsObject,
    UsagePageObject,
    UsageQueryFields,
    UsageResult,
)

DAYS, DAYS_MAX = 7, 31
SINCE_DAYS = 30


class UsageRoutes:
    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def routes(self) -> Sequence[Route]:
        return (
            Route(
                "GET",
                "/v1/usage",
                self.usage,
                scope=Scope.READ,
                summary="Show what was used and what it cost, by day, model and batch.",
                query=UsageQueryFields,
                gives=UsagePageObject,
                accents=("Offpeak",),
            ),
            Route(
                "GET",
                "/v1/credits",
                self.credits,
                scope=Scope.READ,
                summary="Show the account's credits: free, and held for batches that run.",
                gives=CreditsObject,
                accents=("Offpeak",),
            ),
        )

    def usage(self, call: Call) -> Response[str]:
        now = int(self._ports.clock.now())
        groups = parse_groups(call.query)
        query = UsageQuery(
            start=parse_time(call.query, "start_time", now - SINCE_DAYS * DAY_SECONDS),
            stop=parse_time(call.query, "end_time", now + 1),
            by_model="model" in groups,
            by_batch="batch" in groups,
            days_max=parse_whole(call.query, "limit", DAYS, DAYS_MAX),
            after=parse_cursor(call.query),
        )
        if query.start >= query.stop:
            raise InvalidRequest(
                "'start_time' is not before 'end_time'.", param="start_time", code="invalid_value"
            )
        page = show_usage(call.account.id, query, ledger=self._ports.ledger)
        days = {day: [_render(used) for used in of_day] for day, of_day in page.days.items()}
        return json_response(render_usage(days, DAY_SECONDS, page.next))

    def credits(self, call: Call) -> Response[str]:
        balance = self._ports.ledger.balance(call.account.id)
        return json_response(render_credits(call.account, balance))


def _render(used: UsedTokens) -> UsageResult:
    at_10, at_50 = used.foretold
    return {
        "object": "usage.result",
        "input_tokens": used.usage.input_tokens,
        "input_cached_tokens": used.usage.cached_tokens,
        "output_tokens": used.usage.output_tokens,
        "num_model_requests": used.requests,
        "model": used.model,
        "batch_id": used.batch_id,
        "amount": render_amount(used.cost_microdollars),
        "footprint": render_usage_footprint(used.metered, used.carbon_at_once_mg),
        "estimate_error": {"at_10": at_10.mean_percent, "at_50": at_50.mean_percent},
    }
