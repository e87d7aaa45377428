"""A line that kills the engine: its neighbours finish, and in the end it alone has an engine_error."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from offpeak.core.invocation import Outcome, ShardReport
from offpeak.worker.engine import EngineAnswer, EngineDead
from offpeak.worker.engines.echo import EchoEngine
from offpeak.worker.suspects import FEW
from tests.worker.test_run_shard import work
from tests.worker.world import MODEL, QUICK, World

POISON = "[[sleep=0.01]] [[die]]"
ATTEMPTS_MAX = 4  # what a model allows by default


class Watched(EchoEngine):
    """The echo, with what it had in flight when it died. It answers after a few turns, so that many are."""

    def __init__(self, window: int) -> None:
        super().__init__(MODEL, window=window)
        self.in_flight: list[str] = []
        self.died_with: list[str] = []
        self.asked: list[str] = []

    async def run(self, endpoint: str, body: Mapping[str, Any], *, priority: int) -> EngineAnswer:
        text = body["messages"][-1]["content"]
        self.in_flight.append(text)
        self.asked.append(text)
        try:
            await asyncio.sleep(0.002)
            return await super().run(endpoint, body, priority=priority)
        except EngineDead:
            self.died_with = self.died_with or list(self.in_flight)
            raise
        finally:
            self.in_flight.remove(text)


def attempts(world: World, window: int = 64) -> tuple[World, list[Watched], ShardReport | None]:
    """As the dispatcher does it: again after each death, as often as the model allows."""
    engines = []
    for _ in range(ATTEMPTS_MAX):
        engine = Watched(window)
        engines.append(engine)
        try:
            (report,) = asyncio.run(work(world.instance(engine, QUICK), world.order))
        except EngineDead:
            world = world.dispatch_again()
            continue
        return world, engines, report
    return world, engines, None


@pytest.mark.parametrize("place", [0, 57, 119])
def test_its_neighbours_finish_and_it_has_an_engine_error(place: int) -> None:
    texts = [f"text {n}" for n in range(120)]
    texts[place] += POISON
    world, engines, report = attempts(World.of(*texts))
    assert report is not None
    assert report.outcome is Outcome.DONE
    output, errors = world.results(report)
    assert [line["error"]["code"] for line in errors] == ["engine_error"]
    assert [line["custom_id"] for line in errors] == [f"line-{place + 1}"]
    assert len(output) == 119
    _, second, third, last = engines
    assert len(second.died_with) <= FEW
    assert third.died_with == [texts[place]]
    assert texts[place] not in last.asked


def test_a_shard_of_one_line_that_kills_is_tried_as_often_as_any() -> None:
    _, engines, report = attempts(World.of(POISON))
    assert report is not None
    assert (report.counts.failed, len(engines)) == (1, ATTEMPTS_MAX)
    assert [engine.asked for engine in engines] == [[POISON]] * 3 + [[]]


def test_a_line_that_takes_all_memory_is_found_like_one_that_kills() -> None:
    texts = [f"text {n}" for n in range(40)]
    texts[20] += f" [[memory={10**11}]]"  # more than a process can address
    _, engines, report = attempts(World.of(*texts))
    assert report is not None
    assert (report.counts.completed, report.counts.failed) == (39, 1)
    assert [texts[20] in engine.asked for engine in engines] == [True, True, True, False]


def test_the_neighbour_shard_on_the_engine_is_not_to_blame() -> None:
    """It is on the engine each time that it dies, but not when the other's line is alone there."""
    poisoned = World.of(*(f"text {n}" for n in range(20)), POISON)
    beside = World.of(
        *(f"beside {n} [[sleep=0.1]]" for n in range(100)), memory=poisoned.memory, number=1
    )
    worlds = [poisoned, beside]
    reports: list[ShardReport | None] = [None, None]
    for _ in range(ATTEMPTS_MAX):
        engine = Watched(16)

        async def attempt(engine: Watched = engine) -> list[ShardReport | BaseException | None]:
            instance = worlds[0].instance(engine, QUICK)
            await instance.start()
            try:
                return list(
                    await asyncio.gather(
                        *(
                            instance.work(world.order)
                            for world, report in zip(worlds, reports, strict=True)
                            if report is None
                        ),
                        return_exceptions=True,
                    )
                )
            finally:
                await instance.close()

        ended = iter(asyncio.run(attempt()))
        for number, report in enumerate(reports):
            if report is not None:
                continue
            outcome = next(ended)
            if isinstance(outcome, ShardReport):
                reports[number] = outcome
            else:
                assert isinstance(outcome, EngineDead), outcome
                worlds[number] = worlds[number].dispatch_again()
    assert [report is not None and report.counts.failed for report in reports] == [1, 0]
    assert [report is not None and report.counts.completed for report in reports] == [20, 100]
