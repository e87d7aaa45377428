"""Reads what a model's pools have to do: the work that a plan is made for, run by run (planner/work_due.py).

Of the runs that wait, the queue's index tells enough. Rows are read of a few runs only: of some that have begun, for
the pace that their shards were measured at; and of those that are in no queue any more and still have shards open."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice

from offpeak.core.catalogue import Model
from offpeak.core.errors import NotFound
from offpeak.core.plan import WorkDue
from offpeak.core.pool import pools_of, split_pool
from offpeak.core.ports import Accounts, Runs
from offpeak.core.run import Run, RunStatus
from offpeak.core.shard import Shard
from offpeak.planner.at_risk import TIMED_MIN, measured_pace
from offpeak.planner.estimate_completion import WorkLeft, work_left
from offpeak.planner.work_due import work_due
from offpeak.steps.mark_late_runs import TIMED_RUNS_MAX
from offpeak.steps.measure_pools import RUNS_READ_MAX
from offpeak.steps.remembered_accounts import RememberedAccounts

logger = logging.getLogger(__name__)


def read_work_due(
    model: Model, open_shards: Sequence[Shard], *, now: float, runs: Runs, accounts: Accounts,
    remembered_accounts: RememberedAccounts,
) -> tuple[WorkDue, ...]:  # fmt: skip
    """`open_shards` are the model's."""
    waiting = [*runs.queued(model.pool), *runs.queued(model.pool, express=True)]
    queued = {run.id for run in waiting}
    begun = ((run.batch_id, run.number) for run in waiting if run.begun)
    timed = list(_read(islice(begun, TIMED_RUNS_MAX), runs))
    places = {(s.batch_id, s.run) for s in open_shards if f"{s.batch_id}.{s.run}" not in queued}
    at_work = list(_read(islice(sorted(places), RUNS_READ_MAX), runs))
    measured = [*timed, *at_work]

    regions = {pool: split_pool(pool)[1] for pool in pools_of(model)}

    def allowed(account_id: str) -> frozenset[str] | None:
        """The pools that an account's lines may go to; None is all of them."""
        found = frozenset(
            pool
            for pool, region in regions.items()
            if remembered_accounts.may_work_in(region, account_id, now=now, accounts=accounts)
        )
        return None if len(found) == len(regions) else found

    return work_due(
        model, waiting, [run for run in at_work if run.status is not RunStatus.CLOSING],
        open_shards, shard_seconds=measured_pace(measured).cautious,
        is_measured=sum(run.shards_timed for run in measured) >= TIMED_MIN,
        pools=lambda run: allowed(run.account_id),
        measured=_measured(measured, open_shards, model),
    )  # fmt: skip


def _read(places: Iterable[tuple[str, int]], runs: Runs) -> Iterator[Run]:
    for batch_id, number in places:
        try:
            yield runs.glance(batch_id, number)
        except NotFound:
            logger.warning("run %s.%d is not there", batch_id, number)


def _measured(
    runs: Iterable[Run], open_shards: Sequence[Shard], model: Model
) -> Mapping[str, WorkLeft]:
    """Of the runs whose own pace is known, by their ids."""
    found = (work_left(run, open_shards, model) for run in runs)
    return {each.run_id: each for each in found if each and each.pace_basis == "measured"}
