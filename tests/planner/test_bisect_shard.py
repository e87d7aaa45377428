"""A shard that fails without a word of which line: the lines to blame are found, they alone, in bounded attempts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.run import CloseReason, Run, RunStatus
from offpeak.core.shard import PlannedShard, Probe, Segment, Shard, ShardStatus
from offpeak.planner.bisect_shard import FAILURES_MAX, LINE_FAILURES, PARTS
from offpeak.planner.next_try import (
    PROBE_SECONDS_MAX,
    RETRY_SECONDS,
    after_lost_attempt,
    after_probe,
)

NOW = 1_000
ATTEMPTS_MAX = 3


def run_of(lines: int) -> Run:
    return Run(
        batch_id="b", account_id="a", number=0, model="m", pool="p", endpoint="/e",
        manifest_key="k", manifest_bytes=1, shards=1, lines=lines, deadline=9_999, created_at=0,
        status=RunStatus.READY,
    )  # fmt: skip


@dataclass
class Trial:
    """Attempts at a shard whose worker is killed by `poison`, and by `deaths` of the attempts whatever they work."""

    lines: int
    poison: frozenset[int]
    deaths: frozenset[int] = frozenset()
    attempts_max: int = ATTEMPTS_MAX
    finished: set[int] = field(default_factory=set)
    attempts: int = 0
    failures: int = 0

    def run(self) -> Shard:
        run = run_of(self.lines)
        segment = Segment(key="k", start=0, stop=self.lines, first_line=1, lines=self.lines)
        shard = run.first_row(
            PlannedShard(number=0, segments=(segment,)), manifest_start=0, manifest_stop=1,
            status=ShardStatus.DISPATCHED, due_at=NOW,
        )  # fmt: skip
        while shard.is_open and self.finished != set(range(self.lines)):
            claimed = shard.claimed(shard.attempt, "w", NOW)
            shard = self._attempt(claimed, run)
            if shard.status is ShardStatus.WAITING:
                shard = shard.redispatched(NOW)
        return shard

    def _attempt(self, shard: Shard, run: Run) -> Shard:
        self.attempts += 1
        probe = shard.probe or Probe(first=0, stop=self.lines)
        worked = set(range(probe.first, probe.stop)) - self.finished
        if worked & self.poison or self.attempts in self.deaths:
            self.failures += 1
            return after_lost_attempt(shard, run, NOW, failed=True, attempts_max=self.attempts_max)
        self.finished |= worked
        return after_probe(shard, run, NOW) if shard.probes else shard


@given(
    lines=st.integers(2, 3_000),
    places=st.sets(st.integers(0, 2_999), max_size=4),
    few=st.integers(1, 4),
)
def test_the_lines_to_blame_are_found_and_no_others(lines: int, places: set[int], few: int) -> None:
    poison = frozenset(place % lines for place in places)
    trial = Trial(lines, poison, attempts_max=few)
    shard = trial.run()
    assert trial.finished == set(range(lines)) - poison
    assert shard.engine_failed is bool(poison)
    levels = next(depth for depth in range(1, 9) if PARTS**depth >= lines)
    # each level once for the whole, then once a line for each level below, and alone once more
    assert trial.failures <= few + len(poison) * (levels + LINE_FAILURES - 1)
    assert trial.attempts <= trial.failures + (trial.failures + 1) * PARTS


@given(lines=st.integers(1, 5_000), few=st.integers(0, 100))
def test_where_every_line_fails_it_ends_after_a_bounded_number_of_failures(
    lines: int, few: int
) -> None:
    trial = Trial(lines, frozenset(range(lines)), attempts_max=few)
    shard = trial.run()
    assert (shard.status, shard.engine_failed) == (ShardStatus.CLOSED, True)
    assert trial.failures <= max(1, few + FAILURES_MAX)
    assert trial.finished == set()


@given(st.integers(2, 500), st.integers(0, 499), st.integers(1, 60))
def test_an_instance_that_dies_of_itself_costs_no_innocent_line(
    lines: int, place: int, death: int
) -> None:
    poison = frozenset({place % lines})
    trial = Trial(lines, poison, deaths=frozenset({death}))
    trial.run()
    assert trial.finished == set(range(lines)) - poison


def bisected(failures: int = 3, *probes: Probe) -> Shard:
    segment = Segment(key="k", start=0, stop=1, first_line=1, lines=100)
    born = run_of(100).first_row(
        PlannedShard(number=0, segments=(segment,)), manifest_start=0, manifest_stop=1,
        status=ShardStatus.DISPATCHED, due_at=NOW,
    )  # fmt: skip
    return replace(born.claimed(1, "w", NOW), failures=failures, probes=probes)


def test_a_probe_that_was_worked_makes_way_for_the_next_at_once() -> None:
    first, second = Probe(first=0, stop=50), Probe(first=50, stop=100)
    moved = after_probe(bisected(3, first, second), run_of(100), NOW)
    assert (moved.status, moved.due_at, moved.probes) == (ShardStatus.WAITING, NOW, (second,))
    assert moved.failures == 3


def test_an_attempt_that_was_interrupted_works_the_same_probe_again() -> None:
    probes = (Probe(first=0, stop=50), Probe(first=50, stop=100))
    moved = after_lost_attempt(
        bisected(3, *probes), run_of(100), NOW, failed=False, attempts_max=ATTEMPTS_MAX
    )
    assert (moved.due_at, moved.probes) == (NOW, probes)


@pytest.mark.parametrize(("failures", "pause"), [(1, 2 * RETRY_SECONDS), (30, PROBE_SECONDS_MAX)])
def test_failures_of_probes_are_to_be_expected_and_wait_less(failures: int, pause: int) -> None:
    shard = bisected(failures, Probe(first=0, stop=50))
    moved = after_lost_attempt(shard, run_of(100), NOW, failed=True, attempts_max=1)
    assert moved.due_at == NOW + pause


def test_a_bisected_shard_of_a_closing_run_is_closed_for_its_runs_sake() -> None:
    closing = run_of(100).closing(CloseReason.CANCELLED, NOW)
    shard = bisected(3, Probe(first=0, stop=50))
    for moved in (
        after_probe(shard, closing, NOW),
        after_lost_attempt(shard, closing, NOW, failed=True, attempts_max=3),
    ):
        assert (moved.status, moved.engine_failed) == (ShardStatus.CLOSED, False)


def test_a_shard_whose_model_is_gone_is_not_bisected() -> None:
    moved = after_lost_attempt(bisected(0), run_of(100), NOW, failed=True, attempts_max=0)
    assert (moved.status, moved.engine_failed) == (ShardStatus.CLOSED, True)
