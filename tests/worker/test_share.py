"""An instance's seconds, shared out: what its shards are told adds up to the time in which it had one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.lengths import Lengths, bucket_of
from offpeak.worker.engines.echo import EchoEngine
from offpeak.worker.share import InstanceShares, ShardShare
from tests.worker.world import MODEL, World, chat


def shards(*begun: float) -> tuple[InstanceShares, list[ShardShare]]:
    instance = InstanceShares()
    found = [ShardShare(instance) for _ in begun]
    for share, at in zip(found, begun, strict=True):
        share.begin(at)
    return instance, found


def test_alone_it_has_all_of_it() -> None:
    _, (share,) = shards(100.0)
    share.admitted(110.0)
    share.landed(150.0)
    assert share.seconds(160.0) == pytest.approx(60.0)


def test_two_divide_it_by_their_requests_in_flight() -> None:
    _, (one, other) = shards(0.0, 0.0)
    for _ in range(3):
        one.admitted(0.0)
    other.admitted(0.0)
    assert one.seconds(40.0) == pytest.approx(30.0)
    assert other.seconds(40.0) == pytest.approx(10.0)


def test_while_neither_has_a_request_they_have_half_each() -> None:
    _, (one, other) = shards(0.0, 0.0)
    assert (one.seconds(10.0), other.seconds(10.0)) == (5.0, 5.0)


def test_a_request_that_lands_after_its_shard_has_ended_is_nobodys() -> None:
    instance, (one, other) = shards(0.0, 0.0)
    one.admitted(0.0)
    one.end(10.0)
    one.landed(11.0)
    other.admitted(10.0)
    assert one.seconds(30.0) == pytest.approx(10.0)
    assert other.seconds(30.0) == pytest.approx(20.0)
    other.landed(30.0)
    other.end(30.0)
    instance.pass_time(50.0)


@dataclass
class Move:
    shard: int
    kind: str
    seconds: float


moves = st.lists(
    st.builds(Move, st.integers(0, 2), st.sampled_from(["begin", "end", "admit", "land"]), st.floats(0, 100)),
    max_size=60,
)  # fmt: skip


@given(moves)
def test_nothing_is_lost_and_nothing_told_twice(story: list[Move]) -> None:
    """Whoever comes and goes: the shares add up to the time with a shard on the instance."""
    instance = InstanceShares()
    now, busy = 0.0, 0.0
    ended: list[float] = []
    here: dict[int, tuple[ShardShare, int]] = {}
    for move in story:
        busy += move.seconds if here else 0.0
        now += move.seconds
        share, requests = here.get(move.shard, (None, 0))
        if move.kind == "begin" and share is None:
            here[move.shard] = ShardShare(instance), 0
            here[move.shard][0].begin(now)
        elif move.kind == "end" and share is not None:
            share.end(now)
            ended.append(share.seconds(now))
            del here[move.shard]
        elif move.kind == "admit" and share is not None:
            share.admitted(now)
            here[move.shard] = share, requests + 1
        elif move.kind == "land" and share is not None and requests:
            share.landed(now)
            here[move.shard] = share, requests - 1
    total = sum(ended) + sum(share.seconds(now) for share, _ in here.values())
    assert total == pytest.approx(busy, abs=1e-6)


def test_two_shards_on_an_instance_report_what_it_took_between_them() -> None:
    world = World.of(*"abcdefgh")
    other = World.of(*"abcdefgh", memory=world.memory, number=1)
    instance = world.instance(EchoEngine(MODEL, seconds_per_line=0.01, window=4))

    async def both() -> tuple[float, float]:
        await instance.start()
        started = asyncio.get_running_loop().time()
        reports = await asyncio.gather(instance.work(world.order), instance.work(other.order))
        took = asyncio.get_running_loop().time() - started
        await instance.close()
        return sum(report.instance_seconds or 0.0 for report in reports), took

    shared, took = asyncio.run(both())
    assert 0 < shared <= took + 0.001
    assert shared == pytest.approx(took, rel=0.5, abs=0.5)


def test_a_report_says_how_long_answers_were_by_what_their_lines_looked_like() -> None:
    bodies = [chat("one two three", max_tokens=100 if place < 3 else 5_000) for place in range(4)]
    world = World.of_bodies(*bodies)
    instance = world.instance(EchoEngine(MODEL, window=4))

    async def work() -> Lengths:
        await instance.start()
        try:
            return (await instance.work(world.order)).work.lengths
        finally:
            await instance.close()

    often, seldom = asyncio.run(work())
    assert (often[0], often[2:]) == (bucket_of(100, 0)[0], (3, 9))
    assert (seldom[0], seldom[2:]) == (bucket_of(5_000, 0)[0], (1, 3))
