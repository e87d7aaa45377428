"""Settles stand-alone requests: one entry a shard and account, however many of the account's requests it answered."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from offpeak.core.account import Billing
from offpeak.core.errors import NotFound
from offpeak.core.ledger import ModelUsage, settle
from offpeak.core.ports import Accounts, Changes, Clock, Ledger
from offpeak.core.pricing import cost_microdollars
from offpeak.core.run import Run
from offpeak.core.shard import Shard
from offpeak.core.usage import Usage
from offpeak.steps.post_entries import post_entry

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AnsweredRequests:
    """What a shard did for one account: `requests` that succeeded, and their tokens."""

    requests: int = 0
    usage: Usage = Usage()

    def plus(self, usage: Usage) -> AnsweredRequests:
        return AnsweredRequests(self.requests + 1, self.usage + usage)


def settle_requests(
    shard: Shard, run: Run, answered: Mapping[str, AnsweredRequests], *, clock: Clock,
    accounts: Accounts, ledger: Ledger, changes: Changes,
) -> None:  # fmt: skip
    """Writes each account's entry, once however often it is called. Nothing was held, so nothing is released; the
    account's billing as it is now says whether it is charged."""
    for account_id, theirs in sorted(answered.items()):
        if not theirs.requests:
            continue
        try:
            account = accounts.get(account_id)
        except NotFound:
            logger.error("shard %s: account %s is gone, its requests unpaid", shard.id, account_id)
            continue
        entry = settle(
            account_id, shard.id, (_used(run, theirs, shard),), int(clock.now()),
            charged=account.billing is not Billing.OFF,
        )  # fmt: skip
        post_entry(entry, ledger=ledger, changes=changes)


def _used(run: Run, theirs: AnsweredRequests, shard: Shard) -> ModelUsage:
    """Of what the shard took of instances theirs is the part that they have of its tokens. Requests run as they come:
    at once and at home, as far as receipts go."""
    part = theirs.usage.total_tokens / max(1, shard.usage.total_tokens)
    metered = None if shard.metered is None else shard.metered.part(min(1.0, part))
    return ModelUsage(
        model=run.model, requests=theirs.requests,
        input_bytes=run.input_bytes * theirs.requests // run.lines if run.lines else 0,
        usage=theirs.usage,
        cost_microdollars=cost_microdollars(run.prices, theirs.usage) if run.prices else 0,
        metered=metered, carbon_at_once_mg=metered.carbon_mg if metered else 0,
    )  # fmt: skip
