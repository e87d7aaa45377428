"""Requests of a gathering that are cancelled one by one: before their shard runs, and while it does."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest

from offpeak.core.ids import REQUEST, new_id
from offpeak.core.invocation import Outcome, ShardReport
from offpeak.core.shard import Segment
from offpeak.memory.memory import Memory
from offpeak.wire.cancelled import encode_ids, hour_of
from tests.worker.test_run_shard import Recording, until
from tests.worker.world import CHAT, MODEL, World, chat

PREFIX = "work/cancelled/pool/"
SENT_AT = 1_790_000_000
ENDLESS = "[[sleep=600]]"


def gathered(*texts: str, memory: Any = None, number: int = 0) -> tuple[World, list[str]]:
    """A gathering's shard of these prompts, and its requests' ids."""
    world = World.of(*texts, memory=memory, number=number)
    ids = [new_id(REQUEST, SENT_AT + n) for n in range(len(texts))]
    lines = [
        {"custom_id": request_id, "method": "POST", "url": CHAT, "body": chat(text)}
        for request_id, text in zip(ids, texts, strict=True)
    ]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    key = f"work/segments/{number}.jsonl"
    world.memory.writer.put(key, content)
    segment = Segment(key=key, start=0, stop=len(content), first_line=1, lines=len(lines))
    order = replace(world.order, segments=(segment,), cancelled_prefix=PREFIX)
    return replace(world, order=order), ids


def cancel(world: World, name: str, *request_ids: str) -> None:
    key = f"{PREFIX}{hour_of(request_ids[0])}/{name}.json"
    world.memory.writer.put(key, encode_ids(request_ids))


async def work(world: World, engine: Recording, *, cancel_later: tuple[str, ...]) -> ShardReport:
    instance = world.instance(engine)
    await instance.start()
    try:
        working = asyncio.create_task(instance.work(world.order))
        if cancel_later:
            await until(lambda: ENDLESS in engine.asked)
            cancel(world, "later", *cancel_later)
        async with asyncio.timeout(60):
            return await working
    finally:
        await instance.close()


def codes(world: World, report: ShardReport) -> dict[str, str]:
    return {line["custom_id"]: line["error"]["code"] for line in world.results(report)[1]}


def test_a_request_that_was_cancelled_before_never_reaches_the_engine() -> None:
    world, ids = gathered("one", "two", "three")
    cancel(world, "before", ids[1])
    engine = Recording()
    report = asyncio.run(work(world, engine, cancel_later=()))
    assert report.outcome is Outcome.DONE
    assert sorted(engine.asked) == ["one", "three"]
    assert codes(world, report) == {ids[1]: "request_cancelled"}
    assert [line["custom_id"] for line in world.results(report)[0]] == [ids[0], ids[2]]


def test_a_request_that_is_cancelled_while_it_runs_is_let_go_and_the_others_stay() -> None:
    world, ids = gathered("one", ENDLESS, "three")
    engine = Recording()
    report = asyncio.run(work(world, engine, cancel_later=(ids[1],)))
    assert report.outcome is Outcome.DONE
    assert engine.in_flight == 0
    assert codes(world, report) == {ids[1]: "request_cancelled"}
    assert report.counts.completed == 2


def test_a_list_that_cannot_be_read_cancels_nobody() -> None:
    world, ids = gathered("one", "two")
    world.memory.writer.put(f"{PREFIX}{hour_of(ids[0])}/broken.json", b"{")
    report = asyncio.run(work(world, Recording(), cancel_later=()))
    assert report.counts.completed == 2


def test_a_batchs_shard_asks_nobody_about_cancelled_requests() -> None:
    world = World.of("one")
    assert world.order.cancelled_prefix is None
    report = asyncio.run(work(world, Recording(), cancel_later=()))
    assert (report.counts.completed, MODEL) == (1, world.order.model)


def doubled(text: str) -> tuple[World, str]:
    """A shard that holds one request on two lines: its record had been doubled on the way."""
    world, (request_id, _) = gathered(text, text)
    lines = [
        {"custom_id": request_id, "method": "POST", "url": CHAT, "body": chat(text)}
        for _ in range(2)
    ]
    content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    world.memory.writer.put(world.order.segments[0].key, content)
    segment = replace(world.order.segments[0], stop=len(content))
    return replace(world, order=replace(world.order, segments=(segment,))), request_id


def test_a_request_on_two_lines_is_answered_on_both() -> None:
    world, request_id = doubled("one")
    report = asyncio.run(work(world, Recording(), cancel_later=()))
    assert report.outcome is Outcome.DONE
    assert [line["custom_id"] for line in world.results(report)[0]] == [request_id] * 2


def test_a_request_on_two_lines_is_cancelled_on_both() -> None:
    world, request_id = doubled(ENDLESS)
    engine = Recording()
    report = asyncio.run(work(world, engine, cancel_later=(request_id,)))
    assert (report.outcome, engine.in_flight) == (Outcome.DONE, 0)
    assert [line["error"]["code"] for line in world.results(report)[1]] == ["request_cancelled"] * 2


def test_what_is_cancelled_is_read_once_for_all_shards_on_an_instance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = Memory()
    one, first = gathered(ENDLESS, memory=memory)
    two, second = gathered(ENDLESS, memory=memory, number=1)
    read, keys = memory.reader.read, list[str]()

    def reading(key: str, *span: int) -> bytes:
        keys.append(key)
        return read(key, *span)

    monkeypatch.setattr(memory.reader, "read", reading)

    async def work_both() -> list[ShardReport]:
        engine = Recording()
        instance = one.instance(engine)
        await instance.start()
        try:
            working = [asyncio.create_task(instance.work(each.order)) for each in (one, two)]
            await until(lambda: engine.asked == [ENDLESS, ENDLESS])
            cancel(one, "both", *first, *second)
            async with asyncio.timeout(60):
                return await asyncio.gather(*working)
        finally:
            await instance.close()

    reports = asyncio.run(work_both())
    assert [report.counts.failed for report in reports] == [1, 1]
    assert sum(key.startswith(PREFIX) for key in keys) == 1
