"""When a batch will be done: by what it has done itself, without the early finishers' bias, and as it is planned."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.footprint import Metered
from offpeak.core.model import Model, Weights
from offpeak.core.plan import CapacityPlan, RunPlan
from offpeak.core.run import Run
from offpeak.core.shard import Shard, ShardStatus
from offpeak.core.usage import Counts, Usage
from offpeak.planner.estimate_completion import completion, work_left
from offpeak.planner.estimate_seconds import COLD_START_SECONDS, prior_speed
from tests.contract import rows

NOW = 1_790_000_000
MODEL = Model(
    id="m", pool="m", source="s", endpoints=("/v1/completions",), context_tokens=8_192,
    weights=Weights(parameters=8, active_parameters=8, precision="fp8"),
    instance_types=("ml.p5.4xlarge",), instances_max=2,
)  # fmt: skip


def a_run(**fields: object) -> Run:
    run = rows.run("batch_1")
    values = {
        "lines": 10_000, "shards": 10, "input_bytes": 4_000_000, "completion_tokens": 5_000_000,
        "deadline": NOW + 86_400, **fields,
    }  # fmt: skip
    return replace(run, **values)  # type: ignore[arg-type]


def begun(
    lines: int, *, tokens_a_line: int = 200, seconds_a_line: float = 0.1, shards: int = 4
) -> Run:
    """Of a run whose first `lines` are done."""
    usage = Usage(input_tokens=100 * lines, output_tokens=tokens_a_line * lines)
    metered = Metered(instance_ms=round(lines * seconds_a_line * 1_000))
    return a_run(
        counts=Counts(completed=lines), usage=usage, metered=metered, cursor=shards,
        shards_timed=shards, shard_seconds=100,
    )  # fmt: skip


def a_shard(finished: int, tokens: int) -> Shard:
    return Shard(
        batch_id="batch_1", account_id="a", run=0, number=0, pool="m", manifest_start=0,
        manifest_stop=1, first_line=1, last_line=1_000, lines=1_000, status=ShardStatus.CLAIMED,
        attempt=1, due_at=0, progress=Counts(completed=finished), progress_tokens=tokens,
    )  # fmt: skip


def test_a_run_goes_on_as_it_went_so_far() -> None:
    left = work_left(begun(4_000), (), MODEL)
    assert left is not None
    assert left.seconds_p50 == pytest.approx(600, rel=0.01)
    assert left.seconds_p50 < left.seconds_p90 < 1.5 * left.seconds_p50
    assert (left.length_basis, left.pace_basis) == ("measured", "measured")


def test_before_anything_is_measured_a_prior_stands_in_and_says_so() -> None:
    left = work_left(a_run(), (), MODEL)
    assert left is not None
    assert (left.length_basis, left.pace_basis) == ("prior", "prior")
    assert left.seconds_p90 >= 3 * left.seconds_p50


def test_nobody_can_tell_of_a_model_without_size_and_measure() -> None:
    assert work_left(a_run(), (), replace(MODEL, weights=None)) is None


def test_what_open_shards_have_finished_is_no_longer_left() -> None:
    run = begun(4_000)
    without, with_it = work_left(run, (), MODEL), work_left(run, [a_shard(900, 180_000)], MODEL)
    assert without is not None
    assert with_it is not None
    assert with_it.seconds_p50 == pytest.approx(without.seconds_p50 * 5_100 / 6_000, rel=0.01)


def test_running_answers_count_before_they_are_finished() -> None:
    """Of a pilot with 300 in flight at a time, early on the finished are the short ones."""
    chance = random.Random(7)
    lengths = [min(2_000, round(chance.expovariate(1 / 500))) + 1 for _ in range(3_000)]
    true = sum(lengths) / len(lengths)
    window, clock = 300, 0
    running: list[list[int]] = [[each, 0] for each in lengths[:window]]
    waiting = iter(lengths[window:])
    finished: list[int] = []
    while len(finished) < 100:
        clock += 1
        for place, flight in enumerate(running):
            flight[1] += 1
            if flight[1] >= flight[0]:
                finished.append(flight[0])
                running[place] = [next(waiting), 0]
    biased = sum(finished) / len(finished)
    unbiased = (sum(finished) + sum(done for _, done in running)) / len(finished)
    assert biased < 0.7 * true
    run = a_run(lines=3_000)
    left = work_left(run, [a_shard(len(finished), round(unbiased * len(finished)))], MODEL)
    assert left is not None
    speed = prior_speed(MODEL)
    assert speed is not None
    input_seconds = (3_000 - len(finished)) / 3_000 * run.input_bytes / 4 * speed.input_seconds
    told = (left.seconds_p50 - input_seconds) / speed.output_seconds / (3_000 - len(finished))
    assert told == pytest.approx(true, rel=0.2)
    assert abs(told - true) < abs(biased - true)


def test_without_a_plan_the_pool_is_its_own_after_a_cold_start() -> None:
    run = a_run()
    left = work_left(run, (), MODEL)
    assert left is not None
    found = completion([(run, MODEL, left)], NOW)
    assert found is not None
    assert found.planned_start is None
    assert found.p50 == pytest.approx(NOW + COLD_START_SECONDS + left.seconds_p50 / 2, abs=1)
    assert found.basis == "prior"


def test_with_a_plan_it_begins_and_ends_as_planned() -> None:
    run = begun(4_000)
    left = work_left(run, (), MODEL)
    assert left is not None
    planned = RunPlan(run_id=run.id, starts_at=NOW + 7_200, ends_at=NOW + 14_400)
    plan = CapacityPlan(made_at=NOW, starts_at=NOW, slot_seconds=900, pools=(), runs=(planned,))
    found = completion([(run, MODEL, left)], NOW, [None, plan])
    assert found is not None
    assert (found.planned_start, found.p90) == (NOW + 7_200, NOW + 14_400)
    assert NOW + 7_200 < found.p50 < found.p90


def test_the_last_run_of_a_batch_decides() -> None:
    short, long = begun(9_000), replace(begun(1_000), number=1)
    works = []
    for run in (short, long):
        left = work_left(run, (), MODEL)
        assert left is not None
        works.append((run, MODEL, left))
    both, alone = completion(works, NOW), completion(works[1:], NOW)
    assert both == alone
    assert completion([], NOW) is None


@given(st.integers(0, 10_000), st.integers(1, 2_000), st.floats(0.001, 10), st.integers(0, 10))
def test_p90_is_never_before_p50_and_neither_in_the_past(
    lines: int, tokens: int, seconds: float, shards: int
) -> None:
    run = begun(lines, tokens_a_line=tokens, seconds_a_line=seconds, shards=shards)
    left = work_left(run, (), MODEL)
    assert left is not None
    found = completion([(run, MODEL, left)], NOW)
    assert found is not None
    assert NOW <= found.p50 <= found.p90
