"""Capacity plans: no deadline that can be met is missed, no bound passed, and the price is nearly the optimum's."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from benchmarks.linear_program import cheapest_cost
from benchmarks.offpeak_plans import expected_cost, free_starts, random_situation, spread_cost
from offpeak.core.plan import (
    CapacityPlan,
    Override,
    OverrideKind,
    PoolOutlook,
    Situation,
    Weights,
    WorkDue,
)
from offpeak.planner.plan_capacity import plan

NOW = 1_600_000_200.0
HOUR = 3_600
SLOTS = 96


def pool(
    name: str = "home", *, carbon: tuple[float, ...] | None = None, **values: object
) -> PoolOutlook:
    flat = (0.3,) * SLOTS
    return PoolOutlook(**{  # type: ignore[arg-type]
        "pool": name, "region": name, "instances_max": 4, "dollars": (2.0,) * SLOTS,
        "carbon": flat if carbon is None else carbon, **values,
    })  # fmt: skip


def work(
    run_id: str = "b.0",
    *,
    hours: float = 1.0,
    due: float = 20.0,
    p90: float = 1.0,
    **values: object,
) -> WorkDue:
    return WorkDue(**{  # type: ignore[arg-type]
        "run_id": run_id, "deadline": NOW + due * HOUR, "seconds_p50": hours * HOUR,
        "seconds_p90": hours * HOUR * p90, **values,
    })  # fmt: skip


def situation(*pools: PoolOutlook, due: tuple[WorkDue, ...] = (), **values: object) -> Situation:
    return Situation(**{  # type: ignore[arg-type]
        "now": NOW, "pools": pools, "work": due, "weights": Weights(dollars=0.0),
        "smoothing_slots": 0, **values,
    })  # fmt: skip


def valley(at: float, depth: float = 0.5, mean: float = 0.3) -> tuple[float, ...]:
    """Cheapest so many hours from the first slot."""
    return tuple(
        mean * (1 - depth * math.cos((slot / 4 - at) / 24 * 2 * math.pi)) for slot in range(SLOTS)
    )


def on(made: CapacityPlan, name: str = "home") -> list[int]:
    found = next(each for each in made.pools if each.pool == name)
    return [slot for slot, instances in enumerate(found.instances) if instances]


# ── where work goes ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_work_waits_for_its_cheapest_hours_and_runs_in_one_stretch() -> None:
    made = plan(situation(pool(carbon=valley(10)), due=(work(hours=3),)))
    slots = on(made)
    assert slots == list(range(slots[0], slots[-1] + 1))
    assert 34 <= slots[0] < 40 <= slots[-1] <= 46
    run = made.run("b.0")
    assert run is not None
    assert run.takes == ()
    assert run.starts_at == made.starts_at + slots[0] * 900
    assert run.ends_at - run.starts_at == pytest.approx(3 * HOUR)


@pytest.mark.parametrize("smoothing", [0, 9])
def test_among_equal_hours_work_goes_first_thing(smoothing: int) -> None:
    made = plan(situation(pool(), due=(work(hours=8),), smoothing_slots=smoothing))
    assert on(made)[0] <= 1


@pytest.mark.parametrize(("p90", "margin"), [(1.15, 0.6), (1.3, 1.0)])
def test_work_that_is_known_by_its_pace_keeps_half_the_margin_and_a_tenth_of_its_time(
    p90: float, margin: float
) -> None:
    """Hours get cheaper until the deadline; what may take longer is kept free behind what is expected."""
    falling = tuple(1.0 - slot / SLOTS for slot in range(SLOTS))
    home = pool(carbon=falling, instances_max=1)
    made = plan(situation(home, due=(work(hours=1, due=12, p90=p90),), margin_seconds=float(HOUR)))
    run = made.run("b.0")
    assert run is not None
    latest = NOW + (12 - margin - (p90 - 1)) * HOUR
    assert latest - 2 * 900 <= run.ends_at <= latest


def test_work_that_does_not_fit_takes_no_more_of_its_margin_than_it_needs() -> None:
    """Each later hour is cheaper. Ten slots hold it, and nine are before its margin."""
    falling = tuple(1.0 - slot / SLOTS for slot in range(SLOTS))
    home = pool(carbon=falling, instances_max=1, cold_start_seconds=0.0, drain_seconds=0.0)
    made = plan(situation(home, due=(work(hours=2.4, due=3.1),), margin_seconds=float(HOUR)))
    run = made.run("b.0")
    assert run is not None
    assert on(made) == list(range(10))
    assert run.short_seconds == 0


def test_an_instance_is_ordered_a_cold_start_before_its_slot() -> None:
    made = plan(situation(pool(carbon=valley(10)), due=(work(hours=3),)))
    begins = made.starts_at + on(made)[0] * 900
    assert made.wanted("home", begins - 601) == 0
    assert made.wanted("home", begins - 600) == 1
    assert made.wanted("elsewhere", begins) == 0


def test_the_cleanest_region_goes_first_and_residency_is_kept() -> None:
    pools = (pool("coal", carbon=(0.4,) * SLOTS), pool("hydro", carbon=(0.02,) * SLOTS))
    free = plan(situation(*pools, due=(work(),)))
    assert not on(free, "coal")
    bound = plan(situation(*pools, due=(work(pools=frozenset({"coal"})),)))
    assert not on(bound, "hydro")
    assert on(bound, "coal")


def test_an_account_whose_regions_have_no_pool_is_short() -> None:
    made = plan(situation(pool(), due=(work(pools=frozenset({"gone"})),)))
    assert [run.run_id for run in made.short] == ["b.0"]


def test_what_is_asked_for_now_runs_now_at_any_price() -> None:
    made = plan(situation(pool(carbon=valley(10)), due=(work(now=True),)))
    assert made.wanted("home", NOW) >= 1
    assert made.may_take("home", "b.0", NOW)


def test_early_work_is_worth_what_the_weight_says() -> None:
    due = (work(hours=3),)
    patient = plan(situation(pool(carbon=valley(10)), due=due))
    hasty = plan(
        situation(pool(carbon=valley(10)), due=due, weights=Weights(dollars=0, earliness=1.0))
    )
    assert on(hasty)[0] < on(patient)[0]


def test_dollars_decide_between_regions_when_carbon_counts_nothing() -> None:
    pools = (
        pool("clean", carbon=(0.02,) * SLOTS, dollars=(4.0,) * SLOTS),
        pool("cheap", carbon=(0.5,) * SLOTS, dollars=(2.0,) * SLOTS),
    )
    made = plan(situation(*pools, due=(work(),), weights=Weights(carbon=0.0)))
    assert on(made, "cheap")
    assert not on(made, "clean")


def test_nothing_to_do_is_no_instance_but_those_that_are_kept() -> None:
    made = plan(situation(pool(), pool("kept", instances_min=1)))
    assert not on(made)
    assert on(made, "kept") == list(range(SLOTS))
    assert plan(situation()).pools == ()


def test_instances_that_are_kept_anyway_are_used_first() -> None:
    pools = (pool("clean", carbon=(0.1,) * SLOTS), pool("kept", instances_min=1))
    assert not on(plan(situation(*pools, due=(work(),))), "clean")


# ── starts ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_two_valleys_are_one_stretch_when_a_start_costs_more_than_the_hill_between() -> None:
    carbon = [0.3] * SLOTS
    for slot in (40, 41, 44, 45):
        carbon[slot] = 0.29
    made = plan(situation(pool(carbon=tuple(carbon)), due=(work(hours=1.0),)))
    slots = on(made)
    assert slots == list(range(slots[0], slots[-1] + 1))


def test_what_serves_goes_on_unless_another_hour_is_cheaper_by_more_than_a_start() -> None:
    slightly, much = valley(10, depth=0.03), valley(10, depth=0.9)
    due = (work(hours=1.0),)
    assert on(plan(situation(pool(carbon=slightly, running=1), due=due)))[0] == 0
    assert on(plan(situation(pool(carbon=much, running=1), due=due)))[0] > 0


def test_a_start_for_scraps_waits_for_company_until_the_window_presses() -> None:
    rising = tuple(0.1 + slot / 1_000 for slot in range(SLOTS))
    scraps, enough = work(hours=0.1, p90=1.5), work(hours=1.0)

    def wanted(due: WorkDue, idle_seconds: float = math.inf) -> int:
        rested = pool(carbon=rising, idle_seconds=idle_seconds)
        later = situation(rested, due=(due,), now=NOW + 300)
        return plan(later).wanted("home", NOW + 300)

    assert wanted(scraps) == 0
    assert wanted(enough) == 1
    assert wanted(replace(scraps, deadline=NOW + 1.6 * HOUR)) == 1
    assert wanted(enough, idle_seconds=600.0) == 0


def test_a_pools_remainder_goes_where_instances_work_anyway() -> None:
    pools = (
        pool("a", carbon=(0.30,) * SLOTS, instances_max=1), pool("b", carbon=(0.301,) * SLOTS),
    )  # fmt: skip
    due = (work(hours=12, due=30, pools=frozenset({"b"})), work("c.0", hours=0.3, due=30))
    made = plan(situation(*pools, due=due))
    assert not on(made, "a")
    assert on(made, "b")


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 10_000), hours=st.floats(1.0, 5.0))
def test_replanning_as_planned_starts_no_more_than_was_planned(seed: int, hours: float) -> None:
    """The plan is made anew every five minutes and carried out; the forecast does not change."""
    carbon = valley(4 + seed % 9, depth=0.2 + seed % 7 / 10)
    base = situation(pool(carbon=carbon), due=(work(hours=hours, due=22),))
    planned = plan(base).pools[0].instances
    starts = sum(max(0, b - a) for a, b in zip((0, *planned), planned, strict=False))
    left, serving, ready, now, started = hours * HOUR, 0, list[float](), NOW, 0
    idle_since = float("-inf")
    while left > 1 and now < NOW + 22 * HOUR:
        gone = int((now // 900 * 900 - base.starts_at) // 900)
        today = situation(
            pool(
                carbon=carbon[gone:], dollars=(2.0,) * (SLOTS - gone), running=serving,
                starting=len(ready), idle_seconds=now - idle_since,
            ),
            due=(replace(base.work[0], seconds_p50=left, seconds_p90=left),), now=now,
        )  # fmt: skip
        made = plan(today)
        wanted = made.wanted("home", now)
        for _ in range(wanted - serving - len(ready)):
            ready.append(now + 600)
            started += 1
        while wanted < serving + len(ready):
            if ready:
                ready.pop()
            else:
                serving -= 1
        now += 300
        if made.may_take("home", "b.0", base.work[0].deadline):
            left -= serving * 300
        serving += sum(at <= now for at in ready)
        ready = [at for at in ready if at > now]
        idle_since = now if serving or ready else idle_since
    assert left <= 1, "not done in time"
    assert started <= starts + 1


# ── overrides ────────────────────────────────────────────────────────────────────────────────────────────────────────


def ordered(kind: OverrideKind, hours: float, instances: int = 0) -> Override:
    return Override(kind=kind, until=NOW + hours * HOUR, instances=instances)


def test_a_hold_keeps_what_can_wait_until_it_ends_or_the_window_presses() -> None:
    cheap_now = tuple(0.1 + slot / 1_000 for slot in range(SLOTS))
    held = pool(carbon=cheap_now, override=ordered(OverrideKind.HOLD, 6))
    assert on(plan(situation(held, due=(work(hours=2),))))[0] >= 23
    pressed = plan(situation(held, due=(work(hours=2, due=4),)))
    assert on(pressed)
    assert on(pressed)[-1] < 16
    assert not pressed.short
    assert plan(situation(held, due=(work(now=True),))).wanted("home", NOW) >= 1


def test_a_release_lets_everything_run_now() -> None:
    released = pool(carbon=valley(10), override=ordered(OverrideKind.RELEASE, 6))
    made = plan(situation(released, due=(work(hours=2),)))
    assert made.wanted("home", NOW) >= 1
    assert made.may_take("home", "b.0", NOW)


def test_a_boost_keeps_instances_within_the_bounds_and_expires() -> None:
    boosted = pool(override=ordered(OverrideKind.BOOST, 2, instances=9))
    made = plan(situation(boosted))
    assert made.wanted("home", NOW) == 4
    assert on(made)[-1] == 7
    past = pool(override=Override(kind=OverrideKind.BOOST, until=NOW - 1, instances=9))
    assert not on(plan(situation(past)))


# ── runs that came later ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_that_the_plan_does_not_know_goes_by_its_deadline() -> None:
    made = plan(situation(pool(), due=(work(now=True, due=5),)))
    assert made.may_take("home", "new.0", NOW + 4 * HOUR)
    assert not made.may_take("home", "new.0", NOW + 6 * HOUR)
    assert not plan(situation(pool())).may_take("home", "new.0", NOW)


# ── whatever the situation ───────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def situations(draw: st.DrawFn) -> Situation:
    names = ["a", "b", "c"][: draw(st.integers(1, 3))]
    slots = draw(st.integers(8, 40))
    value = st.floats(0.01, 1.0)
    pools = []
    for name in names:
        most = draw(st.integers(1, 3))
        pools.append(
            PoolOutlook(
                pool=name, region=name, instances_max=most,
                instances_min=draw(st.sampled_from([0, 0, 0, 1])),
                running=draw(st.integers(0, most)), speed=draw(st.sampled_from([0.5, 1.0, 2.0])),
                dollars=(1.0,) * slots, carbon=tuple(draw(st.lists(value, min_size=slots, max_size=slots))),
                cold_start_seconds=draw(st.sampled_from([0.0, 600.0, 1_800.0])),
            )
        )  # fmt: skip
    due = []
    for number in range(draw(st.integers(0, 12))):
        allowed = draw(st.one_of(st.none(), st.sets(st.sampled_from(names), min_size=1)))
        seconds = draw(st.floats(1, 3_000))
        due.append(
            WorkDue(
                run_id=f"r{number}", deadline=NOW + draw(st.floats(900.0, 900.0 * slots)),
                seconds_p50=seconds, seconds_p90=seconds * draw(st.sampled_from([1.0, 1.3])),
                pools=frozenset(allowed) if allowed is not None else None,
                now=draw(st.sampled_from([False, False, False, True])),
            )
        )  # fmt: skip
    return Situation(
        now=NOW, pools=tuple(pools), work=tuple(due),
        weights=Weights(dollars=draw(st.sampled_from([0.0, 1.0]))),
        margin_seconds=draw(st.sampled_from([0.0, 1_800.0])),
    )  # fmt: skip


@settings(max_examples=40, deadline=None)
@given(situations())
def test_a_plan_keeps_bounds_and_is_the_same_each_time(asked: Situation) -> None:
    made = plan(asked)
    assert made == plan(asked)
    for outlook, planned in zip(asked.pools, made.pools, strict=True):
        assert len(planned.instances) == len(planned.seconds) == asked.slots
        low, high = outlook.instances_min, outlook.instances_max
        assert all(low <= instances <= high for instances in planned.instances)
        for instances, seconds in zip(planned.instances, planned.seconds, strict=True):
            assert seconds <= instances * 900 * outlook.speed + 1e-3
    assert {run.run_id for run in made.runs} == {each.run_id for each in asked.work}
    for run in made.runs:
        assert run.short_seconds >= 0
        assert run.ends_at >= run.starts_at


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(situations())
def test_a_deadline_that_can_be_met_is_never_missed(asked: Situation) -> None:
    """The linear program says what can: with all work at its P50 and nothing that wants to go first."""
    exact = replace(
        asked, margin_seconds=0.0,
        work=tuple(replace(each, seconds_p90=each.seconds_p50) for each in asked.work),
    )  # fmt: skip
    assume(cheapest_cost(exact) is not None)
    made = plan(exact)
    assert not made.short
    placed = sum(sum(each.seconds) for each in made.pools)
    assert placed == pytest.approx(sum(each.seconds_p50 for each in exact.work), abs=0.1)
    last_slot = {each.run_id: (each.deadline - exact.starts_at) // 900 * 900 for each in exact.work}
    for run in made.runs:
        assert run.ends_at <= exact.starts_at + last_slot[run.run_id] + 1


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(situations())
def test_the_cheapest_cells_cost_what_the_linear_program_says(asked: Situation) -> None:
    """Divisible instances that are there and cost what they are used: what the program is about."""
    fluid = replace(
        asked, margin_seconds=0.0, smoothing_slots=0,
        pools=tuple(
            replace(each, cold_start_seconds=0.0, instances_min=0) for each in asked.pools
        ),
        work=tuple(
            replace(each, seconds_p90=each.seconds_p50, now=False) for each in asked.work
        ),
    )  # fmt: skip
    best = cheapest_cost(fluid)
    assume(best is not None and fluid.work)
    assert spread_cost(fluid) == pytest.approx(best, rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_a_plan_is_within_two_percent_of_the_linear_program(seed: int) -> None:
    """Hourly forecasts, three regions, residency: whole instances and all. Starts apart, which it does not know."""
    asked = free_starts(random_situation(seed, deadlines=(50, 400)[seed % 2]))
    best = cheapest_cost(asked)
    assert best is not None
    assert best * 0.999 <= expected_cost(asked, plan(asked)) <= best * 1.02


@settings(max_examples=40, deadline=None)
@given(situations(), st.integers(0, 2))
def test_less_work_more_room_or_more_time_never_lack_more(asked: Situation, change: int) -> None:
    """Of expected work, without a margin: what is kept free for work that takes longer doesn't move, and only work that
    fits no other way may use its margin, so that with those one's room may be in another's way."""
    assume(asked.work)
    sure = tuple(replace(each, seconds_p90=each.seconds_p50) for each in asked.work)
    asked = replace(asked, work=sure, margin_seconds=0.0)
    first = asked.work[0]
    easier = [
        replace(asked, work=asked.work[1:]),
        replace(asked, pools=tuple(replace(p, instances_max=p.instances_max + 1) for p in asked.pools)),
        replace(asked, work=(replace(first, deadline=first.deadline + 1_800), *asked.work[1:])),
    ][change]  # fmt: skip
    before = sum(run.short_seconds for run in plan(asked).runs)
    assert sum(run.short_seconds for run in plan(easier).runs) <= before + 0.1


def test_two_thousand_deadlines_in_three_regions_are_one_plan() -> None:
    pools = [pool(name, carbon=valley(4 * n), instances_max=20) for n, name in enumerate("abc")]
    due = tuple(work(f"b{n}.0", hours=0.1, due=2 + 20 * n / 2_000, p90=1.2) for n in range(2_000))
    made = plan(situation(*pools, due=due))
    assert len(made.runs) == 2_000
    assert not made.short
