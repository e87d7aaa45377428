"""What a batch that ends has cost, and the entries that charge it and give back what was held for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from offpeak.core.account import Billing
from offpeak.core.batch import Batch
from offpeak.core.footprint import Metered
from offpeak.core.ledger import Entry, ModelUsage, release, settle
from offpeak.core.pricing import cost_microdollars
from offpeak.core.run import Run
from offpeak.core.shard import Shard
from offpeak.core.usage import Counts, Usage


def used_models(runs: Sequence[Run], done: Iterable[Shard]) -> tuple[ModelUsage, ...]:
    """By model, what the runs' shards did. Their usage is that of requests that succeeded, and no other's."""
    shards = list(done)
    return tuple(_used(run, [shard for shard in shards if shard.run == run.number]) for run in runs)


def _used(run: Run, done: Sequence[Shard]) -> ModelUsage:
    counts = sum((shard.counts for shard in done), Counts())
    usage = sum((shard.usage for shard in done), Usage())
    is_measured = any(shard.metered is not None for shard in done)
    return ModelUsage(
        model=run.model, requests=counts.completed,
        input_bytes=run.input_bytes * counts.completed // run.lines if run.lines else 0,
        usage=usage, cost_microdollars=cost_microdollars(run.prices, usage) if run.prices else 0,
        endpoint=run.endpoint, lengths=run.lengths,
        metered=Metered.sum(shard.metered for shard in done) if is_measured else None,
    )  # fmt: skip


def settlement(batch: Batch, models: tuple[ModelUsage, ...], now: int) -> list[Entry]:
    """The entries of a batch that ends. Usage is written down whatever the billing; it charges where that is on."""
    entries = []
    if models:
        charged = batch.billing is not Billing.OFF
        entries.append(settle(batch.account_id, batch.id, models, now, charged=charged))
    if batch.held_microdollars:
        entries.append(release(batch.account_id, batch.id, batch.held_microdollars, now))
    return entries
