"""Plans every model's pools, and orders their instances.

It looks each minute. A new plan is made every few minutes, and at once for work that the last one doesn't know and that
can't wait, or is much: so what must run now finds instances within the minute. Between plans the last one is followed:
the instances that its slots want, ordered a cold start ahead.

    the row first     what was planned, and what is ordered of each pool
    the effect then   each pool's bounds at Application Auto Scaling; said again where the row doesn't know it was heard

A pool that is wanted no more is drained before it goes to zero (core/pool.py). If nobody comes here any more, the
bounds fall back by themselves, and pools follow their work (aws/capacity.py).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.errors import NotFound, OffpeakError, StateConflict
from offpeak.core.plan import (
    MARGIN_SECONDS,
    SLOT_SECONDS,
    SLOTS,
    SMOOTHING_SLOTS,
    CapacityPlan,
    Situation,
    Weights,
    WorkDue,
)
from offpeak.core.pool import (
    PLAN_SECONDS_MAX,
    ModelPools,
    pools_of,
    split_pool,
)
from offpeak.core.ports import (
    Accounts,
    Add,
    Capacity,
    Changes,
    Clock,
    Dispatches,
    Metrics,
    Pools,
    Runs,
    Save,
    Shards,
)
from offpeak.core.ports.signals import Signals
from offpeak.planner.forecast import RegionForecast, forecast
from offpeak.planner.plan_capacity import plan
from offpeak.planner.pool_outlook import pool_outlook
from offpeak.steps.pool_orders import PoolOrders
from offpeak.steps.read_work_due import read_work_due
from offpeak.steps.remembered_accounts import RememberedAccounts

logger = logging.getLogger(__name__)
PLAN_AGAIN_SECONDS = 300
LARGE_SHARE = 0.1
"""Work that the last plan doesn't know is much from this share of what it knew on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanSettings:
    """`home` is the region of control plane and data. Margins go with the slots: only a cloud whose clock is compressed
    has others than those of 15 minutes."""

    home: str
    slot_seconds: int = SLOT_SECONDS
    weights: Weights = field(default_factory=Weights)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What one model's pools are ordered to have; `made` when a new plan was."""

    pool: str
    made: bool
    instances: Mapping[str, int | None]
    draining: Sequence[str] = ()
    work: int = 0


def plan_capacity(
    *, settings: PlanSettings, clock: Clock, catalogue: Catalogue, accounts: Accounts, runs: Runs,
    shards: Shards, pools: Pools, signals: Signals, capacity: Capacity, changes: Changes,
    dispatches: Dispatches, metrics: Metrics, remembered_accounts: RememberedAccounts | None = None,
) -> Sequence[Planned]:  # fmt: skip
    """A model that can't be planned is left as it is, for the next look; `PlanAgeSeconds` tells of it."""
    planner = _Planner(
        settings, clock.now(), catalogue, accounts, runs, shards, pools, signals, capacity, changes,
        remembered_accounts or RememberedAccounts(),
    )  # fmt: skip
    found: list[Planned] = []
    age = 0
    for model in catalogue.served:
        try:
            planned = planner.plan(model)
            found.append(planned)
            if planned.made and planned.work:
                dispatches.ask(model.pool)
        except OffpeakError as error:
            logger.error("the pools of %s are not planned: %s", model.pool, error)
        age = max(age, planner.plan_age(model.pool))
    metrics.publish_plan_age(age, int(planner.now))
    return found


class _Planner:
    def __init__(
        self, settings: PlanSettings, now: float, catalogue: Catalogue, accounts: Accounts,
        runs: Runs, shards: Shards, pools: Pools, signals: Signals, capacity: Capacity, changes: Changes,
        remembered_accounts: RememberedAccounts,
    ) -> None:  # fmt: skip
        self.now = now
        self._settings = settings
        self._accounts = accounts
        self._runs = runs
        self._shards = shards
        self._pools = pools
        self._signals = signals
        self._orders = PoolOrders(now, settings.slot_seconds, capacity)
        self._changes = changes
        self._known = remembered_accounts
        self._catalogue = catalogue
        self._forecasts: Mapping[str, RegionForecast] = {}
        self._ages: dict[str, int] = {}

    def plan_age(self, pool: str) -> int:
        """Seconds; a model without any plan has one that is stale."""
        return self._ages.get(pool, PLAN_SECONDS_MAX)

    def plan(self, model: Model) -> Planned:
        row, is_new = self._row(model.pool)
        if row.plan is not None:
            self._ages[model.pool] = int(self.now - row.plan.made_at)
        open_shards = self._shards.open(model.pool)
        work = read_work_due(
            model, open_shards, now=self.now, runs=self._runs, accounts=self._accounts,
            remembered_accounts=self._known,
        )  # fmt: skip
        again = PLAN_AGAIN_SECONDS * self._settings.slot_seconds / SLOT_SECONDS
        made = row.is_due or _is_due(row.plan_at(self.now), work, self.now, again)
        if made:
            row = row.planned(self._made(model, row, work))
            self._ages[model.pool] = 0
        row = self._orders.seen(model, self._orders.wanted(model, row, open_shards))
        if made or row != self._stored:
            self._commit(row, is_new=is_new)
        self._order(model, row)
        states = {pool: row.state(pool) for pool in pools_of(model)}
        return Planned(
            pool=model.pool, made=made, work=len(work),
            instances={pool: state.instances for pool, state in states.items()},
            draining=[pool for pool, state in states.items() if state.draining],
        )  # fmt: skip

    def _row(self, pool: str) -> tuple[ModelPools, bool]:
        try:
            self._stored, is_new = self._pools.get(pool), False
        except NotFound:
            self._stored, is_new = ModelPools(id=pool), True
        return self._stored, is_new

    def _commit(self, row: ModelPools, *, is_new: bool) -> None:
        """Raises StateConflict when an operator, or another look, was quicker: the next look sees what they did."""
        self._changes.commit(Add(row) if is_new else Save(row))
        self._stored = replace(row, version=row.version + 1)

    # ── what is planned for it ───────────────────────────────────────────────────────────────────────────────────────

    def _made(self, model: Model, row: ModelPools, work: tuple[WorkDue, ...]) -> CapacityPlan:
        settings = self._settings
        scale = settings.slot_seconds / SLOT_SECONDS
        outlooks = []
        for pool, there in pools_of(model).items():
            region = split_pool(pool)[1] or settings.home
            outlooks.append(
                pool_outlook(
                    pool, region, home=model, there=there, state=row.state(pool),
                    counts=self._orders.counts(pool), forecast=self._forecast(region), slots=SLOTS,
                    now=self.now, scale=scale,
                )
            )  # fmt: skip
        situation = Situation(
            now=self.now, pools=tuple(outlooks), work=work, weights=settings.weights,
            slot_seconds=settings.slot_seconds, margin_seconds=MARGIN_SECONDS * scale,
            smoothing_slots=SMOOTHING_SLOTS if scale == 1 else 0,
        )  # fmt: skip
        return self._with_sources(plan(situation))

    def _with_sources(self, made: CapacityPlan) -> CapacityPlan:
        """Says of each pool which signal its hours were chosen by, and why it isn't the wanted one."""
        told = []
        for each in made.pools:
            carbon = self._forecast(each.region).carbon
            why = f" ({carbon.falls_back})" if carbon.falls_back else ""
            told.append(replace(each, why=f"{each.why} Carbon by {carbon.source}{why}."))
        return replace(made, pools=tuple(told))

    def _forecast(self, region: str) -> RegionForecast:
        """Made once for all regions: they are to be compared, and so of one kind."""
        if not self._forecasts:
            further = {each for model in self._catalogue.served for each in model.regions}
            self._forecasts = self._read_forecasts(sorted({self._settings.home, *further}))
        return self._forecasts[region]

    def _read_forecasts(self, regions: Sequence[str]) -> Mapping[str, RegionForecast]:
        seconds = self._settings.slot_seconds
        return forecast(
            regions, {region: self._signals.newest(region) for region in regions},
            start=int(self.now // seconds) * seconds, slots=SLOTS, slot_seconds=seconds,
            now=self.now,
        )  # fmt: skip

    # ── what is ordered ──────────────────────────────────────────────────────────────────────────────────────────────

    def _order(self, model: Model, row: ModelPools) -> None:
        """What can't be ordered now is at the next look: its row says that nobody has heard it."""
        row = self._orders.given(model, row)
        if row.states != self._stored.states:
            try:
                self._commit(replace(row, version=self._stored.version), is_new=False)
            except StateConflict:
                logger.info("the pools of %s changed meanwhile; ordered again soon", model.pool)


def _is_due(
    last: CapacityPlan | None, work: Sequence[WorkDue], now: float, again_seconds: float
) -> bool:
    """Whether the last plan is of some age, or leaves out what can't wait or is much."""
    if last is None or now >= last.made_at + again_seconds:
        return True
    new = 0.0
    for each in work:
        known = last.run(each.run_id)
        if each.now and (known is None or not known.takes):
            return True
        if known is None:
            new += each.seconds_p90
    return new > LARGE_SHARE * sum(each.seconds_p90 for each in work)
