"""Whole batches through the real steps: in calm weather, and in storms. See `simulation.py`."""

import json
import os
from collections import Counter
from typing import Any

import pytest

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.layout import assembly_prefix, error_key, output_key
from offpeak.core.webhook import BATCH_AT_RISK
from offpeak.wire.results import line_number
from tests.steps.interleaving import CALM, STORM
from tests.steps.simulation import Simulation, request

SEEDS = int(os.environ.get("OFFPEAK_SIMULATION_SEEDS", "40"))


def results(world: Simulation, file_id: str | None, key: str) -> list[bytes]:
    if file_id is None:
        return []
    file = world.memory.files.get("acct_1", file_id)
    body = world.memory.reader.read(key)
    assert (file.key, file.bytes, file.purpose) == (key, len(body), "batch_output")
    return body.splitlines()


def check(world: Simulation, batch_id: str, custom_ids: list[str | None]) -> list[dict[str, Any]]:
    """Every custom_id once, in input order, counted as planned. The results."""
    batch = world.batch(batch_id)
    output = results(world, batch.output_file_id, output_key(batch_id))
    errors = results(world, batch.error_file_id, error_key(batch_id))
    for lines in (output, errors):
        numbers = [line_number(line) for line in lines]
        assert numbers == sorted(set(numbers)), "out of order, or twice"
    found = sorted((line_number(line), json.loads(line)) for line in output + errors)
    assert [result["custom_id"] for _, result in found] == custom_ids
    assert (batch.counts.completed, batch.counts.failed) == (len(output), len(errors))
    assert batch.counts.total == len(custom_ids)
    assert world.no_shard_is_open(batch_id)
    return [result for _, result in found]


def codes(found: list[dict[str, Any]]) -> Counter[str]:
    return Counter(result["error"]["code"] for result in found if result["error"])


def shared_beginning(number: int) -> str:
    return "abcde"[number % 5] * 300 + str(number)


def announced(world: Simulation) -> set[str]:
    """Whatever else was told of before: of a risk, for one."""
    return {kind for kind, _ in world.memory.announcements.announced} - {BATCH_AT_RISK}


def ended(world: Simulation, *batch_ids: str) -> bool:
    """Also that its execution came to its end: whoever waited for the token was woken."""
    announced = world.memory.announcements.announced
    told = {batch.id for kind, batch in announced if kind != BATCH_AT_RISK}
    return told >= set(batch_ids)


def test_a_batch_of_two_models_is_completed_each_line_generated_once() -> None:
    world = Simulation(1, CALM)
    lines = [request(f"c{n}", "red" if n % 3 else "blue") for n in range(30)]
    world.submit("batch_a", lines, window_seconds=86_400)
    world.run(lambda: ended(world, "batch_a"))
    world.end()
    found = check(world, "batch_a", [f"c{n}" for n in range(30)])
    batch = world.batch("batch_a")
    assert batch.status is BatchStatus.COMPLETED
    assert codes(found) == {"request_timeout": 3}  # c5, c15, c25: the engine's own doing
    assert set(world.worker.generated.values()) == {1}
    assert batch.usage is not None
    # Nobody pays for c5, c15 and c25, the lines 6, 16 and 26.
    assert batch.usage.input_tokens == sum(range(1, 31)) - 6 - 16 - 26
    assert batch.task_tokens == ()


@pytest.mark.parametrize("in_chunks", [False, True])
def test_reordered_lines_come_back_in_input_order(in_chunks: bool) -> None:
    world = Simulation(5, CALM, in_chunks=in_chunks, reorders=True)
    lines = [
        b"not json" if n == 7 else request(f"c{n}", "blue" if n % 7 == 3 else "red", shared_beginning(n))
        for n in range(40)
    ]  # fmt: skip
    world.submit("batch_a", lines, window_seconds=86_400, on_invalid="skip")
    world.run(lambda: ended(world, "batch_a"))
    world.end()
    check(world, "batch_a", [None if n == 7 else f"c{n}" for n in range(40)])
    assert world.batch("batch_a").status is BatchStatus.COMPLETED
    assert [run.is_reordered for run in world.memory.runs.of_batch("batch_a")] == [True, True]
    assert set(world.worker.generated.values()) == {1}


@pytest.mark.parametrize("after_ticks", [1, 10, 20, 30, 40, 60, 90, 150, 300])
def test_a_batch_cancelled_while_it_is_reordered_ends(after_ticks: int) -> None:
    world = Simulation(after_ticks, CALM, reorders=True)
    lines = [request(f"c{n}", prompt=shared_beginning(n)) for n in range(40)]
    world.submit("batch_a", lines, window_seconds=86_400)
    ticks = 0

    def tick() -> bool:
        nonlocal ticks
        ticks += 1
        if ticks == after_ticks:
            world.cancel("batch_a")
        return ended(world, "batch_a")

    world.run(tick)
    world.end()
    check(world, "batch_a", [f"c{n}" for n in range(40)])
    assert world.batch("batch_a").status is BatchStatus.CANCELLED


def test_bad_lines_are_merged_with_the_results_of_the_others() -> None:
    world = Simulation(2, CALM)
    lines = [b"not json" if n % 4 == 1 else request(f"c{n}") for n in range(20)]
    world.submit("batch_a", lines, window_seconds=86_400, on_invalid="skip")
    world.run(lambda: ended(world, "batch_a"))
    world.end()
    expected = [None if n % 4 == 1 else f"c{n}" for n in range(20)]
    found = check(world, "batch_a", expected)
    assert codes(found)["invalid_json_line"] == 5


@pytest.mark.parametrize(("models", "level"), [(1, "parts"), (2, "sort")])
def test_results_of_any_size_are_put_together_in_chunks(models: int, level: str) -> None:
    """A file of one model is joined, one of two is merged: in as many calls as its size wants, each bounded."""
    world = Simulation(8, CALM, in_chunks=True)
    lines = [request(f"c{n}", ["red", "blue"][n % models]) for n in range(60)]
    world.submit("batch_a", lines, window_seconds=86_400)
    world.run(lambda: ended(world, "batch_a"))
    world.end()
    check(world, "batch_a", [f"c{n}" for n in range(60)])
    assert world.memory.multipart.open_ids == ()
    chunks = list(world.memory.reader.list(f"{assembly_prefix('batch_a', 'output')}{level}/"))
    assert len(chunks) > 3


def test_a_line_that_kills_its_worker_each_time_alone_ends_with_an_engine_error() -> None:
    """The worker of these tests names no suspects: it is found by bisection."""
    world = Simulation(3, CALM)
    lines = [request(f"c{n}", prompt="poison" if n == 6 else "hi") for n in range(12)]
    world.submit("batch_a", lines, window_seconds=86_400)
    world.run(lambda: ended(world, "batch_a"))
    world.end()
    found = check(world, "batch_a", [f"c{n}" for n in range(12)])
    assert world.batch("batch_a").status is BatchStatus.COMPLETED
    poisoned = [
        r["custom_id"] for r in found if r["error"] and r["error"]["code"] == "engine_error"
    ]
    assert poisoned == ["c6"]
    assert world.worker.generated["batch_a", 7] == 3 + 2  # attempts_max, and twice alone


def test_a_batch_that_runs_out_of_its_window_keeps_what_was_done() -> None:
    world = Simulation(4, CALM)
    lines = [request(f"c{n}") for n in range(200)]
    world.submit("batch_a", lines, window_seconds=300)
    world.run(lambda: ended(world, "batch_a"))
    world.end()
    found = check(world, "batch_a", [f"c{n}" for n in range(200)])
    assert world.batch("batch_a").status is BatchStatus.EXPIRED
    assert 0 < codes(found)["batch_expired"] < 200
    assert announced(world) == {"batch.expired"}


@pytest.mark.parametrize("after_ticks", [1, 30, 100, 200, 300, 400])
def test_a_cancelled_batch_keeps_what_was_done_whenever_it_is_cancelled(after_ticks: int) -> None:
    world = Simulation(after_ticks, CALM)
    world.submit("batch_a", [request(f"c{n}") for n in range(40)], window_seconds=86_400)
    ticks = 0

    def tick() -> bool:
        nonlocal ticks
        ticks += 1
        if ticks == after_ticks:
            world.cancel("batch_a")
        return ended(world, "batch_a")

    world.run(tick)
    world.end()
    found = check(world, "batch_a", [f"c{n}" for n in range(40)])
    assert world.batch("batch_a").status is BatchStatus.CANCELLED
    assert codes(found)["batch_cancelled"] > 0


def test_a_batch_without_a_good_line_still_ends() -> None:
    world = Simulation(5, CALM)
    world.submit("batch_a", [b"not json"] * 3, window_seconds=86_400, on_invalid="skip")
    world.run(lambda: ended(world, "batch_a"))
    world.end()
    check(world, "batch_a", [None] * 3)
    batch = world.batch("batch_a")
    assert batch.status is BatchStatus.COMPLETED
    assert batch.output_file_id is None


@pytest.mark.parametrize("seed", range(SEEDS))
def test_in_any_storm_every_custom_id_comes_back_once_and_every_batch_ends(seed: int) -> None:
    reorders = seed % 4 >= 2
    world = Simulation(seed, STORM, in_chunks=seed % 2 == 1, reorders=reorders)
    choose = world.random
    custom_ids: dict[str, list[str | None]] = {}
    windows: dict[str, int] = {}
    for name in ("batch_a", "batch_b"):
        count = choose.randint(1, 40)
        bad = {n for n in range(count) if choose.random() < 0.1} if choose.random() < 0.3 else set()
        poison = choose.randrange(count) if choose.random() < 0.3 else None
        lines = [
            b"{}" if n in bad
            else request(
                f"{name}-{n}", choose.choice(["red", "blue"]),
                "poison" if n == poison else shared_beginning(n) if reorders else "hi",
            )
            for n in range(count)
        ]  # fmt: skip
        custom_ids[name] = [None if n in bad else f"{name}-{n}" for n in range(count)]
        windows[name] = choose.choice([200, 1_000, 3_000, 86_400])
        world.submit(name, lines, window_seconds=windows[name], on_invalid="skip")
    cancels = {choose.randint(1, 4_000): name for name in custom_ids if choose.random() < 0.4}
    ticks = 0

    def tick() -> bool:
        nonlocal ticks
        ticks += 1
        if ticks in cancels:
            world.cancel(cancels[ticks])
        return ended(world, *custom_ids)

    world.run(tick)
    world.end()
    for name, expected in custom_ids.items():
        found = check(world, name, expected)
        batch = world.batch(name)
        check_status(batch, found, was_cancelled=name in cancels.values())
        # A storm lasts some hours at most: only what lay forgotten runs out of a day.
        assert batch.status is not BatchStatus.EXPIRED or windows[name] < 86_400


def check_status(batch: Batch, found: list[dict[str, Any]], *, was_cancelled: bool) -> None:
    counted = codes(found)
    assert batch.is_terminal
    if batch.status is BatchStatus.COMPLETED:
        assert not counted["batch_cancelled"] + counted["batch_expired"]
    if batch.status is BatchStatus.CANCELLED:
        assert was_cancelled
        assert not counted["batch_expired"]
    if batch.status is BatchStatus.EXPIRED:
        assert not counted["batch_cancelled"]
