from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.queued_run import QueuedRun
from offpeak.core.run import Run, Tier
from offpeak.planner.at_risk import (
    EXPECTED_SHARD_SECONDS,
    LATE_HYSTERESIS_SECONDS,
    RECOVERY_SECONDS,
    SHARD_SECONDS,
    START_MARGIN_SECONDS,
    Outlook,
    Pace,
    is_at_risk,
    measured_pace,
    outlooks,
)

NOW, DAY = 1_000_000, 86_400
RUN = QueuedRun(
    batch_id="b", number=0, account_id="a", tier=Tier.LONG, deadline=NOW + DAY, created_at=0,
    shards=60, shards_left=60,
)  # fmt: skip
PRIOR, MEASURED = Pace(), Pace(expected=600, cautious=600)


def run(name: str, left: int, deadline: int, tier: Tier = Tier.LONG) -> QueuedRun:
    return replace(RUN, batch_id=name, shards_left=left, deadline=deadline, tier=tier)


RUNS = st.lists(
    st.builds(
        run, st.uuids().map(str), st.integers(1, 5_000), st.integers(NOW - 100, NOW + 7 * DAY)
    ),
    max_size=8,
)


def looks(
    *runs: QueuedRun,
    now: float = NOW,
    pace: Pace = PRIOR,
    in_flight: int = 0,
    starts_in: float = 0,
) -> dict[str, Outlook]:
    found = outlooks(
        runs, now=now, shards_at_once=10, in_flight=in_flight, starts_in=starts_in, pace=pace
    )
    return {each.run.batch_id: each for each in found}


def late(run: QueuedRun, now: float = NOW, pace: Pace = PRIOR) -> bool:
    return looks(run, now=now, pace=pace)[run.batch_id].late


def test_a_run_is_late_when_its_rest_fills_what_is_left_of_its_window() -> None:
    begins = NOW + DAY - 6 * SHARD_SECONDS - START_MARGIN_SECONDS
    assert not late(RUN, begins - 1)
    assert late(RUN, begins)


def test_a_run_that_can_not_be_saved_is_not_late() -> None:
    """Ten slots and a day take 960 shards, at twice the pace 1,920."""
    assert late(replace(RUN, shards_left=1_900))
    assert not late(replace(RUN, shards_left=2_000))


def test_lateness_counts_what_must_go_before() -> None:
    """Neither is late by itself: 900 shards of each take 22 hours and a half, and the second has 40."""
    first, second = run("first", 900, NOW + DAY + 3_600), run("second", 900, NOW + 40 * 3_600)
    assert not late(first)
    assert not late(second)
    found = looks(first, second)
    assert (found["first"].late, found["second"].late) == (False, True)


def test_what_others_ask_makes_nobody_late_but_puts_them_at_risk() -> None:
    """Late is worth a larger share of the pool: an account must not get it for its neighbour's work."""
    others = replace(run("others", 1_000, NOW + DAY), account_id="z")
    mine = run("mine", 1_000, NOW + 2 * DAY)
    found = looks(others, mine)
    assert found["mine"].late is looks(mine)["mine"].late is False
    assert found["mine"].finishes_at - NOW == 2 * (looks(mine)["mine"].finishes_at - NOW)


def test_what_can_not_be_saved_is_in_nobodys_way() -> None:
    hopeless, other = run("hopeless", 4_000, NOW + 3_600), run("other", 60, NOW + DAY)
    found = looks(hopeless, other)
    assert not found["other"].late
    assert found["other"].finishes_at == looks(other)["other"].finishes_at
    assert found["hopeless"].finishes_at > NOW + 3_600


def test_a_later_deadline_is_in_nobodys_way() -> None:
    soon, later = run("soon", 60, NOW + 3 * 3_600), run("later", 5_000, NOW + 7 * DAY)
    assert looks(soon, later)["soon"] == looks(soon)["soon"]


def test_a_batch_too_large_for_its_window_is_seen_as_soon_as_it_waits() -> None:
    """30 hours of work in a window of 24."""
    whole = run("b", 30 * 10 * 3_600 // 600, NOW + DAY)
    outlook = looks(whole, pace=MEASURED)["b"]
    assert outlook.finishes_at == NOW + 30 * 3_600
    assert is_at_risk(outlook.finishes_at, whole.deadline, was=False)


def test_the_pools_start_and_what_is_in_flight_count() -> None:
    assert looks(RUN, pace=MEASURED)["b"].finishes_at == NOW + 3_600
    assert looks(RUN, pace=MEASURED, starts_in=900)["b"].finishes_at == NOW + 4_500
    assert looks(RUN, pace=MEASURED, in_flight=10)["b"].finishes_at == NOW + 4_200


def test_the_late_mark_goes_a_while_after_its_reason() -> None:
    marked = replace(RUN, tier=Tier.LATE)
    begins = NOW + DAY - 6 * SHARD_SECONDS - START_MARGIN_SECONDS
    assert late(marked, begins - LATE_HYSTERESIS_SECONDS)
    assert not late(marked, begins - LATE_HYSTERESIS_SECONDS - 1)


@pytest.mark.parametrize(
    ("early_by", "was", "at_risk"),
    [
        (-1, False, True), (0, False, False), (RECOVERY_SECONDS - 1, True, True),
        (RECOVERY_SECONDS, True, False), (-1, True, True),
    ],
)  # fmt: skip
def test_a_risk_is_over_when_the_end_is_expected_a_while_before_the_deadline(
    early_by: int, was: bool, at_risk: bool
) -> None:
    assert is_at_risk(NOW - early_by, NOW, was=was) is at_risk


@pytest.mark.parametrize("was", [True, False])
def test_what_nobody_can_tell_changes_nothing(was: bool) -> None:
    assert is_at_risk(None, NOW, was=was) is was


@given(RUNS, RUNS)
def test_more_work_ends_nothing_sooner(some: list[QueuedRun], more: list[QueuedRun]) -> None:
    """Unless it can't be saved: then it isn't counted in the way of others."""
    alone, among = looks(*some), looks(*some, *more)
    for name, outlook in alone.items():
        if all(each.finishes_at <= each.run.deadline for each in among.values()):
            assert among[name].finishes_at >= outlook.finishes_at


@given(RUNS)
def test_each_is_looked_at_once_and_the_earliest_deadline_first(runs: list[QueuedRun]) -> None:
    found = outlooks(runs, now=NOW, shards_at_once=10, pace=Pace())
    assert sorted(each.run.id for each in found) == sorted(each.id for each in runs)
    assert [each.run.deadline for each in found] == sorted(each.deadline for each in runs)


@given(RUNS, st.integers(1, 50))
def test_a_schedule_that_the_outlook_promises_holds(runs: list[QueuedRun], at_once: int) -> None:
    """Worked shard by shard, the earliest deadline first, each run ends when it was said to, or sooner."""
    found = outlooks(runs, now=NOW, shards_at_once=at_once, pace=MEASURED)
    if any(each.finishes_at > each.run.deadline for each in found):
        return  # those that can't be saved have another place in the order
    worked = 0
    for each in found:
        worked += each.run.shards_left
        last = (worked - 1) // at_once  # the wave that its last shard is in
        assert NOW + (last + 1) * MEASURED.expected <= each.finishes_at


def test_a_pools_shards_take_what_they_took_once_a_few_were_timed() -> None:
    run = Run(
        batch_id="b", account_id="a", number=0, model="m", pool="p", endpoint="/e",
        manifest_key="k", manifest_bytes=1, shards=9, lines=9, deadline=NOW, created_at=0,
    )  # fmt: skip
    timed = replace(run, shard_seconds=200, shards_timed=2)
    assert measured_pace([run, timed]) == Pace()
    assert Pace() == Pace(expected=EXPECTED_SHARD_SECONDS, cautious=SHARD_SECONDS)
    assert measured_pace([run, timed, timed]) == Pace(expected=100, cautious=100)
