"""What earlier attempts finished is found in their checkpoints, and in results whose report was lost."""

from __future__ import annotations

import asyncio

from offpeak.core.invocation import Outcome
from offpeak.wire.finished import finished_objects
from tests.worker.test_run_shard import Recording, run, work
from tests.worker.world import QUICK, World


def test_a_shard_whose_report_was_lost_is_not_generated_again() -> None:
    world = World.of("one", "two [[status=400]]", "three")
    first = run(world)
    assert (first.outcome, world.checkpointed()) == (Outcome.DONE, [])
    engine = Recording()
    second = run(world.dispatch_again(), engine)
    assert engine.asked == []
    assert (second.outcome, second.resumed_lines) == (Outcome.DONE, 3)
    assert world.results(second) == world.results(first)
    assert second.usage == first.usage


def test_results_that_cannot_be_written_are_flushed_as_a_checkpoint() -> None:
    world = World.of("one", "two")

    class Refusing:
        def put(self, key: str, *args: object) -> object:
            if key.endswith("output.jsonl"):
                raise OSError("No.")
            return world.memory.writer.put(key, *args)

    instance = world.instance(Recording(), QUICK, world.ports(writer=Refusing()))
    try:
        asyncio.run(work(instance, world.order))
    except OSError:
        assert sorted(world.checkpointed()) == [1, 2]
    else:
        raise AssertionError("it was written")


def test_other_objects_beside_them_are_passed_over() -> None:
    world = World.of("one")
    run(world)
    for name in ("suspects/0001.json", "0001/manifest.json", "0001/output.jsonl.part", "notes"):
        world.memory.writer.put(world.order.work_prefix + name, b"{")
    found = {
        key: list(lines)
        for key, lines in finished_objects(world.memory.reader, world.order.work_prefix)
    }
    assert [key.removeprefix(world.order.work_prefix) for key in found] == ["0001/output.jsonl"]
    ((line,),) = found.values()
    assert (line.number, line.kind) == (1, "output")
