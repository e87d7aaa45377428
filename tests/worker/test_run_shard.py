"""One attempt at a shard, whatever happens to it: every line has one result, in input order, or is tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from offpeak.core.errors import InvalidRequest, StateConflict, Unavailable
from offpeak.core.invocation import Outcome, ShardOrder, ShardReport
from offpeak.core.ports import Save
from offpeak.core.shard import ShardStatus
from offpeak.core.usage import Usage
from offpeak.worker.engine import EngineAnswer, EngineDead, EngineLimits, error_answer
from offpeak.worker.engines.echo import EchoEngine
from offpeak.worker.instance import Instance
from tests.worker.world import MODEL, QUICK, World


async def work(instance: Instance, *orders: ShardOrder) -> list[ShardReport]:
    await instance.start()
    try:
        return await asyncio.gather(*(instance.work(order) for order in orders))
    finally:
        await instance.close()


def run(world: World, engine: Any = None, settings: Any = QUICK) -> ShardReport:
    engine = engine or EchoEngine(MODEL, window=4)
    (report,) = asyncio.run(work(world.instance(engine, settings), world.order))
    return report


async def until(reached: Callable[[], bool], seconds_max: float = 60.0) -> None:
    """Waits for what must come, however slow the machine is."""
    async with asyncio.timeout(seconds_max):
        while not reached():  # noqa: ASYNC110 - what it waits for has no event
            await asyncio.sleep(0.005)


class Recording:
    """The echo, with what it was asked."""

    def __init__(self, window: int = 4, seconds: float = 0.0) -> None:
        self._echo = EchoEngine(MODEL, seconds, window)
        self.asked: list[str] = []
        self.in_flight = self.in_flight_most = 0
        self.limits = EngineLimits(requests=window)

    async def start(self) -> None: ...

    async def ready(self) -> bool:
        return True

    async def run(self, endpoint: str, body: Mapping[str, Any], *, priority: int) -> EngineAnswer:
        self.asked.append(body["messages"][-1]["content"])
        self.in_flight += 1
        self.in_flight_most = max(self.in_flight, self.in_flight_most)
        try:
            await asyncio.sleep(0)
            return await self._echo.run(endpoint, body, priority=priority)
        finally:
            self.in_flight -= 1

    async def stop(self) -> None: ...

    def stats(self) -> Mapping[str, int]:
        return {}


def test_every_line_has_its_result_in_input_order() -> None:
    texts = [f"text {n} [[sleep={0.02 if n % 3 == 0 else 0}]]" for n in range(20)]
    world = World.of(*texts)
    report = run(world)
    output, errors = world.results(report)
    assert [line["custom_id"] for line in output] == [f"line-{n}" for n in range(1, 21)]
    answers = [line["response"]["body"]["choices"][0]["message"]["content"] for line in output]
    assert answers == texts
    assert errors == []
    assert report.errors is None
    assert report.outcome is Outcome.DONE
    assert (report.counts.total, report.counts.completed, report.counts.failed) == (20, 20, 0)
    assert report.usage == Usage(input_tokens=60, output_tokens=60)


def test_refused_lines_go_to_the_errors_with_the_engines_status() -> None:
    world = World.of("good", "bad [[status=400]]", "also good", "gone [[status=404]]")
    report = run(world)
    output, errors = world.results(report)
    assert [line["custom_id"] for line in output] == ["line-1", "line-3"]
    assert [line["response"]["status_code"] for line in errors] == [400, 404]
    assert all(line["error"] is None for line in errors)
    assert [line["custom_id"] for line in errors] == ["line-2", "line-4"]
    assert (report.counts.completed, report.counts.failed) == (2, 2)


def test_a_line_is_tried_again_while_the_engine_is_at_fault() -> None:
    class Flaky(Recording):
        async def run(
            self, endpoint: str, body: Mapping[str, Any], *, priority: int
        ) -> EngineAnswer:
            answer = await super().run(endpoint, body, priority=priority)
            return error_answer(503, "busy") if len(self.asked) < 3 else answer

    engine = Flaky()
    report = run(World.of("hello"), engine)
    assert report.counts.completed == 1
    assert len(engine.asked) == 3


def test_a_line_that_always_fails_is_an_error_after_its_last_try() -> None:
    engine = Recording()
    world = World.of("poison [[status=500]]", "good")
    report = run(world, engine)
    assert (report.counts.completed, report.counts.failed) == (1, 1)
    assert engine.asked.count("poison [[status=500]]") == QUICK.line_attempts_max
    assert world.results(report)[1][0]["response"]["status_code"] == 500


def test_a_line_over_its_own_time_limit_is_aborted_as_request_timeout() -> None:
    world = World.of("slow [[sleep=600]]", "quick")
    report = run(world, settings=replace(QUICK, line_seconds_max=1.0))
    _, errors = world.results(report)
    assert [line["error"]["code"] for line in errors] == ["request_timeout"]
    assert errors[0]["response"] is None
    assert report.counts.completed == 1


def test_no_more_requests_are_in_flight_than_the_window_holds() -> None:
    engine = Recording(window=3)
    run(World.of(*(f"text {n}" for n in range(50))), engine)
    assert engine.in_flight_most == 3


def test_lines_are_admitted_in_input_order_of_the_older_shard_first() -> None:
    engine = Recording(window=1, seconds=0.01)
    older = World.of(*(f"older {n}" for n in range(8)))
    younger = World.of(*(f"younger {n}" for n in range(8)), memory=older.memory, number=1)

    async def both() -> None:
        instance = older.instance(engine)
        await instance.start()
        first = asyncio.create_task(instance.work(older.order))
        await until(lambda: len(engine.asked) >= 2)
        second = asyncio.create_task(instance.work(younger.order))
        reports = [await first, await second]
        await instance.close()
        assert [each.outcome for each in reports] == [Outcome.DONE, Outcome.DONE]

    asyncio.run(both())
    assert [text for text in engine.asked if text.startswith("older")] == list(older.texts)
    assert [text for text in engine.asked if text.startswith("younger")] == list(younger.texts)
    # While lines of the older shard waited, the younger got in only when it was alone in the queue.
    assert engine.asked.index("older 7") < engine.asked.index("younger 7")


def test_an_express_shard_s_lines_go_before_those_of_an_older_shard() -> None:
    """The engine's only place is held until the express shard's line waits for it, behind a hundred others."""
    held = asyncio.Event()

    class Holding(Recording):
        async def run(
            self, endpoint: str, body: Mapping[str, Any], *, priority: int
        ) -> EngineAnswer:
            self.asked.append(body["messages"][-1]["content"])
            await held.wait()
            return await self._echo.run(endpoint, body, priority=priority)

    engine = Holding(window=1)
    older = World.of(*(f"older {n}" for n in range(100)))
    express = World.of("express 0", "express 1", memory=older.memory, number=1)
    order = replace(express.order, express=True)

    async def both() -> None:
        instance = older.instance(engine)
        await instance.start()
        first = asyncio.create_task(instance.work(older.order))
        await until(lambda: len(engine.asked) == 1)
        second = asyncio.create_task(instance.work(order))
        window = instance._window
        assert window is not None
        await until(lambda: any(age < 0 for age, *_ in window._waiting))
        held.set()
        reports = [await first, await second]
        await instance.close()
        assert [each.outcome for each in reports] == [Outcome.DONE, Outcome.DONE]

    asyncio.run(both())
    assert engine.asked[:2] == ["older 0", "express 0"]


def test_a_stale_attempt_changes_nothing() -> None:
    world = World.of("one", "two")
    newer = world.dispatch_again()
    before = world.shard
    report = run(world)
    assert report.outcome is Outcome.SUPERSEDED
    assert world.shard == before
    assert world.keys() == []
    assert run(newer).outcome is Outcome.DONE


def test_a_second_delivery_of_the_same_order_is_superseded() -> None:
    world = World.of(*(f"text {n} [[sleep=0.05]]" for n in range(4)))
    reports = asyncio.run(work(world.instance(EchoEngine(MODEL)), world.order, world.order))
    assert sorted(each.outcome for each in reports) == [Outcome.DONE, Outcome.SUPERSEDED]


def test_the_lease_is_renewed_with_the_progress() -> None:
    world = World.of("one", "two", "slow [[sleep=600]]")

    async def watch() -> None:
        settings = replace(QUICK, renew_seconds=0.02)
        instance = world.instance(EchoEngine(MODEL), settings)
        working = asyncio.create_task(work(instance, world.order))
        await until(lambda: world.shard.progress.completed == 2)
        world.memory.clock.advance(1_000)
        lease_until = world.memory.clock.now() + settings.lease_seconds
        await until(lambda: world.shard.due_at == lease_until)
        shard = world.shard
        assert shard.status is ShardStatus.CLAIMED
        assert shard.worker is not None
        assert shard.worker.startswith("worker/")
        assert (shard.progress.total, shard.progress.completed) == (3, 2)
        world.close_run()
        (report,) = await working
        assert report.outcome is Outcome.STOPPED

    asyncio.run(watch())


def test_a_worker_that_lost_its_lease_stops_and_writes_nothing_more() -> None:
    world = World.of("one", "slow [[sleep=600]]")

    async def lose() -> ShardReport:
        instance = world.instance(EchoEngine(MODEL), replace(QUICK, renew_seconds=0.02))
        working = asyncio.create_task(work(instance, world.order))
        await until(lambda: world.shard.status is ShardStatus.CLAIMED)
        await until(lambda: _lost(world))
        (report,) = await working
        return report

    report = asyncio.run(lose())
    assert report.outcome is Outcome.SUPERSEDED
    assert world.shard.status is ShardStatus.WAITING
    assert world.keys() == []


def _lost(world: World) -> bool:
    """Somebody takes the shard away, unless its worker has just renewed its lease: then again."""
    try:
        world.memory.changes.commit(Save(world.shard.waiting(retry_at=0, failed=True)))
    except StateConflict:
        return False
    return True


class Halting(Recording):
    """It answers some lines at once and the others never."""

    def __init__(self, lines: int) -> None:
        super().__init__(window=2)
        self._left = lines

    async def run(self, endpoint: str, body: Mapping[str, Any], *, priority: int) -> EngineAnswer:
        self._left -= 1
        if self._left < 0:
            await asyncio.sleep(600)
        return await super().run(endpoint, body, priority=priority)


def test_at_its_time_limit_a_shard_is_partial_and_the_next_attempt_finishes_it() -> None:
    world = World.of(*(f"text {n}" for n in range(12)))
    limited = replace(QUICK, shard_seconds_max=2.0, drain_seconds=0.1, line_seconds_max=600)
    first = run(world, Halting(7), limited)
    assert first.outcome is Outcome.PARTIAL
    assert first.counts.completed == 7
    assert sorted(world.checkpointed()) == list(range(1, first.counts.completed + 1))

    again = world.dispatch_again()
    engine = Recording()
    second = run(again, engine)
    assert second.outcome is Outcome.DONE
    assert second.resumed_lines == first.counts.completed
    assert engine.asked == list(world.texts[first.counts.completed :])
    assert [line["custom_id"] for line in again.results(second)[0]] == [
        f"line-{n}" for n in range(1, 13)
    ]


def test_lines_in_flight_at_the_time_limit_may_end_within_the_drain() -> None:
    world = World.of("slow [[sleep=1.5]]", "never [[sleep=1.5]]")
    report = run(world, EchoEngine(MODEL, window=1), replace(QUICK, shard_seconds_max=1.0))
    assert (report.outcome, report.counts.completed) == (Outcome.PARTIAL, 1)


def test_lines_that_outlast_the_drain_are_aborted() -> None:
    world = World.of("quick", "slow [[sleep=600]]")
    report = run(world, settings=replace(QUICK, shard_seconds_max=1.0, drain_seconds=0.1))
    assert (report.outcome, report.counts.completed) == (Outcome.PARTIAL, 1)
    assert world.checkpointed() == [1]


def test_a_closing_run_stops_its_shards_and_keeps_what_is_done() -> None:
    world = World.of("quick", "slow [[sleep=600]]")

    async def close() -> ShardReport:
        engine = Recording()
        working = asyncio.create_task(work(world.instance(engine), world.order))
        await until(lambda: (len(engine.asked), engine.in_flight) == (2, 1))
        world.close_run()
        (report,) = await working
        return report

    report = asyncio.run(close())
    assert (report.outcome, report.counts.completed) == (Outcome.STOPPED, 1)
    assert world.checkpointed() == [1]


def test_a_stopping_instance_ends_its_shards_and_takes_no_more() -> None:
    world = World.of("quick", "slow [[sleep=600]]")

    async def stop() -> ShardReport:
        engine = Recording()
        instance = world.instance(engine)
        await instance.start()
        working = asyncio.create_task(instance.work(world.order))
        await until(lambda: (len(engine.asked), engine.in_flight) == (2, 1))
        assert await instance.ready()
        instance.stop()
        await instance.idle()
        assert not await instance.ready()
        with pytest.raises(Unavailable):
            await instance.work(world.order)
        await instance.close()
        return await working

    report = asyncio.run(stop())
    assert (report.outcome, report.counts.completed) == (Outcome.STOPPED, 1)
    assert world.checkpointed() == [1]


def test_when_the_engine_dies_the_attempt_fails_and_keeps_what_is_done() -> None:
    world = World.of("one", "two", "[[sleep=1]] [[die]]", "four [[sleep=600]]")

    async def die() -> None:
        instance = world.instance(EchoEngine(MODEL))
        await instance.start()
        with pytest.raises(EngineDead):
            await instance.work(world.order)
        assert not await instance.ready()
        await instance.close()

    asyncio.run(die())
    assert sorted(world.checkpointed()) == [1, 2]
    others = [key for key in world.keys() if "/checkpoints/" not in key]  # noqa: SIM118
    assert [key.rpartition("suspects/")[2] for key in others] == ["0001.json"]


def test_an_order_for_another_model_is_refused() -> None:
    world = World.of("one")
    order = replace(world.order, model="another")
    with pytest.raises(InvalidRequest):
        asyncio.run(work(world.instance(EchoEngine(MODEL)), order))
    assert world.shard.status is ShardStatus.DISPATCHED


def test_an_order_that_promises_other_lines_than_the_file_has_fails() -> None:
    world = World.of("one", "two")
    segment = replace(world.order.segments[0], lines=3)
    order = replace(world.order, segments=(segment,))
    with pytest.raises(ValueError, match="has no 3 lines"):
        asyncio.run(work(world.instance(EchoEngine(MODEL)), order))


def test_ports_that_fail_for_a_moment_don_t_fail_the_shard() -> None:
    world = World.of(*(f"text {n}" for n in range(30)))
    faulty = {
        name: _EveryOtherCallFails(getattr(world.ports(), name))
        for name in ("reader", "writer", "changes", "shards")
    }
    instance = world.instance(EchoEngine(MODEL), ports=world.ports(**faulty))
    (report,) = asyncio.run(work(instance, world.order))
    assert report.outcome is Outcome.DONE
    assert len(world.results(report)[0]) == 30


class _EveryOtherCallFails:
    """Half of the failures come after the effect: whoever calls can't know."""

    def __init__(self, port: Any) -> None:
        self._port = port
        self._calls = 0

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._port, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            self._calls += 1
            if self._calls % 4 == 1:
                raise Unavailable("A moment, please.")
            result = method(*args, **kwargs)
            if self._calls % 4 == 3 and name != "stream":
                raise Unavailable("It was done, but you can't know.")
            return result

        return call


def test_a_claim_whose_answer_was_lost_is_still_a_claim() -> None:
    world = World.of("one")

    class Forgetful:
        def __init__(self) -> None:
            self.commits = 0

        def commit(self, *changes: Any) -> None:
            world.memory.changes.commit(*changes)
            self.commits += 1
            if self.commits == 1:
                raise Unavailable("It was done, but you can't know.")

    instance = world.instance(EchoEngine(MODEL), ports=world.ports(changes=Forgetful()))
    (report,) = asyncio.run(work(instance, world.order))
    assert report.outcome is Outcome.DONE


def test_a_closed_shard_is_not_claimed() -> None:
    world = World.of("one")
    world.memory.changes.commit(Save(world.shard.closed()))
    assert run(world).outcome is Outcome.SUPERSEDED
    with pytest.raises(StateConflict):
        world.shard.closed()


def checkpoints_of(world: World, engine: Recording, settings: Any, wanted: int) -> list[str]:
    """The keys of the checkpoints there are once `wanted` lines are in them; then the run is closed."""

    async def watch() -> list[str]:
        working = asyncio.create_task(work(world.instance(engine, settings), world.order))
        await until(lambda: len(world.checkpointed()) == wanted)
        keys = [key for key in world.keys() if "/checkpoints/" in key]  # noqa: SIM118
        world.close_run()
        await working
        return keys

    return asyncio.run(watch())


def test_a_straggler_does_not_keep_the_finished_lines_from_being_checkpointed() -> None:
    """At the pace so far the shard ends at once: no checkpoint is worth it. But it does not end."""
    texts = [f"text {n}" for n in range(50)]
    world = World.of(*texts, "straggler [[sleep=600]]")
    settings = replace(QUICK, checkpoint_seconds=0.2)
    assert len(checkpoints_of(world, Recording(), settings, wanted=50)) >= 1


def test_a_shard_that_ends_soon_writes_its_results_and_no_checkpoint() -> None:
    world = World.of(*(f"text {n} [[sleep=0.01]]" for n in range(30)))
    report = run(world, settings=replace(QUICK, checkpoint_seconds=60))
    assert report.outcome is Outcome.DONE
    assert world.checkpointed() == []


def test_lines_with_a_common_beginning_reach_the_engine_one_after_the_other() -> None:
    prefixes = [f"{name} is what all of these are about. " * 20 for name in "abc"]
    texts = [f"{prefixes[n % 3]} question {n}" for n in range(30)]
    world = World.of(*texts)
    engine = Recording(window=1)
    report = run(world, engine)
    groups = [text[0] for text in engine.asked]
    assert groups == sorted(groups)
    assert [line["custom_id"] for line in world.results(report)[0]] == [
        f"line-{n}" for n in range(1, 31)
    ]
