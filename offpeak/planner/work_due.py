"""What is left of the runs of a model's pools, in instance-seconds: what the plan is made for.

A shard takes an instance for its measured seconds, of which an instance works `concurrency` at a time. Of a shard
that is open, the share of its lines counts that has no result yet, as far as its worker has told. Runs that have ended
shards of their own tell more exactly what is left of them (estimate_completion.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from offpeak.core.model import Model
from offpeak.core.plan import WorkDue
from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Run, Tier
from offpeak.core.shard import Shard
from offpeak.planner.estimate_completion import WorkLeft

P90_FACTOR = 1.5
"""Of the estimate: what nine runs of ten stay under, of those whose shards' times were measured; others take
`P90_UNMEASURED` at most."""
P90_UNMEASURED = 2.0
EXPRESS_SECONDS = 60
"""A shard of few lines (core/run.py)."""

Known = QueuedRun | Run


def work_due(
    model: Model, waiting: Iterable[QueuedRun], at_work: Iterable[Run],
    open_shards: Sequence[Shard], *, shard_seconds: float, is_measured: bool,
    pools: Callable[[Known], frozenset[str] | None],
    measured: Mapping[str, WorkLeft] | None = None,
) -> tuple[WorkDue, ...]:  # fmt: skip
    """Of the runs that wait, and of those that only have open shards (`at_work`). `pools` says where a run may go;
    `measured` are runs that tell by their own tokens and pace what is left of them."""
    left: Mapping[str, float] = _open_left(open_shards)
    found: dict[str, WorkDue] = {}
    runs: Iterable[tuple[Known, int]] = [
        *((run, run.shards_left) for run in waiting), *((run, 0) for run in at_work),
    ]  # fmt: skip
    for run, undispatched in runs:
        if run.id in found:
            continue
        each = EXPRESS_SECONDS if run.tier is Tier.EXPRESS else shard_seconds
        seconds = (undispatched + left.get(run.id, 0.0)) * each / model.concurrency
        known = (measured or {}).get(run.id)
        p90 = seconds * (P90_FACTOR if is_measured else P90_UNMEASURED)
        found[run.id] = WorkDue(
            run_id=run.id, deadline=run.deadline,
            seconds_p50=known.seconds_p50 if known else seconds,
            seconds_p90=known.seconds_p90 if known else p90,
            pools=pools(run), now=run.tier is not Tier.OFFPEAK,
        )  # fmt: skip
    return tuple(found.values())


def _open_left(open_shards: Iterable[Shard]) -> Mapping[str, float]:
    """Shards by run, a shard that is half done counting half."""
    left: dict[str, float] = defaultdict(float)
    for shard in open_shards:
        done = min(1.0, shard.progress.finished / shard.lines) if shard.lines else 0.0
        left[f"{shard.batch_id}.{shard.run}"] += 1.0 - done
    return left
