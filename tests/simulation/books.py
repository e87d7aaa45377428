"""What must hold of the money: every account's ledger is the one that a world without faults would have written for the
same results, entry by entry."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator

from offpeak.core.account import Billing
from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.gathering import is_gathering
from offpeak.core.layout import output_key
from offpeak.core.ledger import Balance, Entry, EntryKind
from offpeak.core.pricing import cost_microdollars
from offpeak.core.request import Request, RequestStatus
from offpeak.core.run import Run
from offpeak.core.shard import Shard
from offpeak.core.usage import Usage
from offpeak.wire.results import line_number
from tests.simulation.instances import usage_of
from tests.simulation.town import ACCOUNTS, CREDITS_MICRODOLLARS, Town
from tests.steps.request_simulation import ALICE

Posting = tuple[str, EntryKind, str, int, tuple[tuple[str, int, Usage], ...]]
"""Account, kind, source, micro-dollars; by model, how many requests and what they used."""


def books(town: Town) -> Iterator[tuple[str, object]]:
    entries = town.rows(Entry)
    for balance in town.rows(Balance):
        mine = [entry for entry in entries if entry.account_id == balance.account_id]
        if balance.microdollars != sum(entry.microdollars for entry in mine):
            yield "balance is not the ledger's sum", (balance, mine)
        if balance.held_microdollars:
            yield "orphan hold", balance
    found = Counter(_posting(entry) for entry in entries)
    expected = Counter(_faultless(town))
    if found != expected:
        yield "ledger", {"too many": list(found - expected), "missing": list(expected - found)}


def _posting(entry: Entry) -> Posting:
    models = sorted((each.model, each.requests, each.usage) for each in entry.models)
    return (entry.account_id, entry.kind, entry.source, entry.microdollars, tuple(models))


def _faultless(town: Town) -> Iterator[Posting]:
    """What the results are worth, at the prices that they were planned at."""
    for name, microdollars in CREDITS_MICRODOLLARS.items():
        yield ACCOUNTS[name].id, EntryKind.CREDIT, "start", microdollars, ()
    for account, reference, microdollars in town.callers.paid:
        yield account.id, EntryKind.CREDIT, reference, microdollars, ()
    for batch in town.rows(Batch):
        if batch.status is not BatchStatus.FAILED and not is_gathering(batch.id):
            yield from _of_batch(town, batch)
    yield from _of_requests(town)


def _of_batch(town: Town, batch: Batch) -> Iterator[Posting]:
    runs = [run for run in town.rows(Run) if run.batch_id == batch.id]
    if not runs:
        return
    used: dict[str, list[Usage]] = defaultdict(list)
    lines = (
        town.memory.reader.read(output_key(batch.id)).splitlines() if batch.output_file_id else []
    )
    for line in lines:
        prompt = json.loads(line)["response"]["body"]["of"]
        used[town.model_of(batch, line_number(line))].append(usage_of(prompt))
    models = tuple(
        sorted((run.model, len(used[run.model]), sum(used[run.model], Usage())) for run in runs)
    )
    cost = sum(_cost(run, sum(used[run.model], Usage())) for run in runs)
    charged = -cost if batch.billing != Billing.OFF else 0
    yield batch.account_id, EntryKind.SETTLE, batch.id, charged, models
    if held := town.history.held.get(batch.id):
        yield batch.account_id, EntryKind.HOLD, batch.id, -held, ()
        yield batch.account_id, EntryKind.RELEASE, batch.id, held, ()


def _of_requests(town: Town) -> Iterator[Posting]:
    """One settlement a shard, of its requests that were answered and took the answer."""
    shards = {shard.output.key: shard for shard in town.rows(Shard) if shard.output is not None}
    runs = {run.id: run for run in town.rows(Run)}
    used: dict[str, list[Usage]] = defaultdict(list)
    for row in town.rows(Request):
        if row.status is RequestStatus.COMPLETED and row.result is not None:
            line = town.memory.reader.read(row.result.key, row.result.start, row.result.stop)
            used[row.result.key].append(usage_of(json.loads(line)["response"]["body"]["of"]))
    for key, usages in used.items():
        shard = shards[key]
        run = runs[f"{shard.batch_id}.{shard.run}"]
        usage = sum(usages, Usage())
        models = ((run.model, len(usages), usage),)
        yield ALICE.id, EntryKind.SETTLE, shard.id, -_cost(run, usage), models


def _cost(run: Run, used: Usage) -> int:
    return cost_microdollars(run.prices, used) if run.prices else 0
