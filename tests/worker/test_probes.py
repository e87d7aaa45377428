"""An attempt at a bisected shard works the lines of its probe and no others, and says when it has."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from offpeak.core.invocation import Outcome, ShardReport
from offpeak.core.ports import Save
from offpeak.core.shard import Probe, Segment
from offpeak.planner.next_try import after_lost_attempt, after_probe
from offpeak.wire.invocation import decode_order, decode_report, encode_order, encode_report
from offpeak.wire.segments import read_lines, read_lines_between
from offpeak.worker.engine import EngineAnswer, EngineDead
from offpeak.worker.engines.echo import EchoEngine
from tests.worker.test_run_shard import work
from tests.worker.world import MODEL, QUICK, World

TEXTS = [f"text {n}" for n in range(20)]


class Busy(EchoEngine):
    """The echo, and when it has its first request."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.busy = asyncio.Event()

    async def run(self, endpoint: str, body: Mapping[str, Any], *, priority: int) -> EngineAnswer:
        self.busy.set()
        return await super().run(endpoint, body, priority=priority)


def probed(world: World, first: int, stop: int) -> World:
    order = replace(world.order, probe=Probe(first=first, stop=stop))
    return replace(world, order=decode_order(encode_order(order)))


def report_of(world: World) -> ShardReport:
    (report,) = asyncio.run(work(world.instance(EchoEngine(MODEL), QUICK), world.order))
    return decode_report(encode_report(report))


def test_only_the_lines_of_the_probe_are_worked() -> None:
    world = probed(World.of(*TEXTS), 5, 9)
    report = report_of(world)
    assert (report.outcome, report.probed) == (Outcome.PARTIAL, True)
    assert sorted(world.checkpointed()) == [6, 7, 8, 9]
    assert report.counts.finished == 4


def test_a_probe_whose_lines_all_have_results_was_worked() -> None:
    world = probed(World.of(*TEXTS), 5, 9)
    report_of(world)
    again = report_of(probed(world.dispatch_again(), 5, 9))
    assert (again.outcome, again.probed, again.resumed_lines) == (Outcome.PARTIAL, True, 4)


def test_the_probe_that_was_all_that_lacked_ends_the_shard() -> None:
    world = World.of(*TEXTS)
    report_of(probed(world, 0, 12))
    report = report_of(probed(world.dispatch_again(), 12, 20))
    assert report.outcome is Outcome.DONE
    output, errors = world.results(report)
    assert [line["custom_id"] for line in output] == [f"line-{n + 1}" for n in range(20)]
    assert errors == []


def test_a_probe_that_kills_the_engine_was_not_worked() -> None:
    world = probed(World.of(*TEXTS[:5], "[[die]]", *TEXTS[5:]), 5, 9)
    with pytest.raises(EngineDead):
        report_of(world)


def test_a_probe_that_was_stopped_half_way_was_not_worked() -> None:
    """Its lines last until they are stopped."""

    async def stopped() -> ShardReport:
        world = probed(World.of(*(f"{text} [[sleep=600]]" for text in TEXTS)), 5, 9)
        engine = Busy(MODEL)
        instance = world.instance(engine, QUICK)
        await instance.start()
        working = asyncio.create_task(instance.work(world.order))
        await engine.busy.wait()
        instance.stop()
        try:
            return await working
        finally:
            await instance.close()

    report = asyncio.run(stopped())
    assert (report.outcome, report.probed) == (Outcome.STOPPED, False)


def test_a_whole_shard_is_no_probe() -> None:
    assert report_of(World.of(*TEXTS)).probed is False


def test_an_unreadable_object_fails_the_probes_of_its_own_lines_alone() -> None:
    """What of the shard can be read is read: its other segments, and lines before the place that can't."""
    world = World.of(*TEXTS)
    (good,) = world.order.segments
    gone = Segment(key="files/gone", start=0, stop=9, first_line=21, lines=4)
    segments = (gone, good)
    reader = world.memory.reader
    expected = list(read_lines(reader, [good]))
    assert list(read_lines_between(reader, segments, 4, 24)) == expected
    assert list(read_lines_between(reader, segments, 6, 9)) == expected[2:5]


@pytest.mark.parametrize("bounds", [(0, 1), (0, 7), (3, 7), (6, 7), (0, 3), (2, 5)])
def test_lines_between_are_those_of_the_whole(bounds: tuple[int, int]) -> None:
    """Of segments with gaps between them, whose lines belong to others."""
    memory = World.of("x").memory
    lines = [f"line {n}".encode() for n in range(1, 11)]
    memory.writer.put("k", b"".join(line + b"\n" for line in lines))
    place = [sum(len(line) + 1 for line in lines[:n]) for n in range(11)]
    segments = [
        Segment(key="k", start=place[a], stop=place[b], first_line=a + 1, lines=b - a)
        for a, b in ((0, 3), (4, 5), (7, 10))
    ]
    whole = list(read_lines(memory.reader, segments))
    assert len(whole) == 7
    assert list(read_lines_between(memory.reader, segments, *bounds)) == whole[slice(*bounds)]


class Deadly(EchoEngine):
    """Whoever works its poison is killed as a whole: nobody answers any more, and nobody is told why."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.killed = asyncio.Event()

    async def run(self, endpoint: str, body: Mapping[str, Any], *, priority: int) -> EngineAnswer:
        if "poison" in body["messages"][-1]["content"]:
            self.killed.set()
            await asyncio.Event().wait()
        return await super().run(endpoint, body, priority=priority)


async def attempt(world: World) -> ShardReport | None:
    """None from a worker that was killed, between two of its steps."""
    engine = Deadly(MODEL)
    instance = world.instance(engine, replace(QUICK, checkpoint_seconds=0.001))
    await instance.start()
    working = asyncio.create_task(instance.work(world.order))
    killed = asyncio.create_task(engine.killed.wait())
    try:
        await asyncio.wait({working, killed}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        for task in (working, killed):
            task.cancel()
        await asyncio.gather(working, killed, return_exceptions=True)
        await instance.close()


@pytest.mark.parametrize("attempts_max", [1, 4])
@pytest.mark.parametrize("places", [{0}, {19}, {7, 8}])
def test_a_worker_that_is_killed_by_a_line_each_time_loses_that_line_alone(
    places: set[int], attempts_max: int
) -> None:
    """As complete_shard and the sweep move it. What the last of the shard's rows shows is for the harvest."""
    world = World.of(*(f"poison {n}" if n in places else text for n, text in enumerate(TEXTS)))
    run = world.memory.runs.get(world.order.batch_id, 0)
    failures = 0
    while True:
        report = asyncio.run(attempt(world))
        shard = world.shard
        if report is not None and report.probed:
            moved = after_probe(shard, run, 0)
        else:
            failures += 1
            moved = after_lost_attempt(
                shard, run, 0, failed=report is None, attempts_max=attempts_max
            )
        world.memory.changes.commit(Save(moved))
        if not moved.is_open:
            break
        world = world.dispatch_again()
        world = replace(world, order=replace(world.order, probe=world.shard.probe))
    assert moved.engine_failed
    assert sorted(world.checkpointed()) == [n + 1 for n in range(20) if n not in places]
    assert failures <= attempts_max + 3 * len(places)
