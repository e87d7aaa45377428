"""However a batch's results lie in S3, its files have each line once, in order, by calls that are bounded."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.layout import invalid_lines_key, output_key
from offpeak.core.ports import PARTS_MAX, ObjectInfo
from offpeak.core.request_line import FinishedLine
from offpeak.core.shard import ResultObject
from offpeak.memory.memory import Memory
from offpeak.planner.cut_results import LIMITS
from offpeak.planner.join_pieces import MIB
from offpeak.steps.result_chunks import plan_key
from offpeak.wire.checkpoints import encode_record
from offpeak.wire.results import line_number
from tests.steps.results import World, apart, overlapping, result

SHARDS = st.lists(st.integers(0, 9), min_size=1, max_size=150)
"""The shard of each line, in the order of the lines: any interleaving."""


@given(SHARDS)
def test_shards_that_lie_among_each_other_in_any_way_are_merged_in_order(
    of_line: list[int],
) -> None:
    shards: dict[int, list[int]] = {}
    for line, shard in enumerate(of_line, 1):
        shards.setdefault(shard, []).append(line)
    world = World()
    info, _ = world.put(overlapping(world.sources(list(shards.values()))))
    assert info is not None
    assert world.reader.read(output_key("batch_1")) == b"".join(
        result(line) for line in range(1, len(of_line) + 1)
    )
    assert world.multipart.open_ids == ()


@given(st.lists(st.integers(1, 12), min_size=1, max_size=30))
def test_shards_that_follow_each_other_in_any_sizes_are_joined_in_order(sizes: list[int]) -> None:
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    shards = [range(end - size + 1, end + 1) for size, end in zip(sizes, ends, strict=True)]
    world = World()
    world.put(apart(world.sources(shards)))
    assert world.reader.read(output_key("batch_1")) == b"".join(map(result, range(1, ends[-1] + 1)))
    assert world.multipart.open_ids == ()


def test_refused_lines_are_merged_in_however_many_there_are() -> None:
    world = World()
    refused = range(2, 201, 2)
    records = [
        encode_record(FinishedLine(number=line, kind="error", result=result(line)))
        for line in refused
    ]
    world.writer.put(invalid_lines_key("batch_1"), b"".join(records))
    results = overlapping(world.sources([range(1, 201, 4), range(3, 201, 4)]), len(refused))
    _, chunks = world.put(results)
    assert chunks > 5
    body = world.reader.read(output_key("batch_1"))
    assert [line_number(line) for line in body.splitlines()] == list(range(1, 201))


def test_a_line_with_two_results_is_never_put() -> None:
    world = World()
    shards = [list(range(1, 60)), [*range(60, 100), 30]]
    shards[1].sort()
    with pytest.raises(StateConflict, match="Line 30 comes after"):
        world.put(overlapping(world.sources(shards)))


def test_a_line_that_is_lost_on_the_way_is_missed() -> None:
    world = World()
    sources = world.sources([range(1, 100, 2), range(2, 100, 2)])
    world.sources([range(1, 100, 2), range(2, 98, 2)])  # the second is not what its row says
    with pytest.raises(StateConflict, match="would have 98 of 99 lines"):
        world.put(overlapping(sources))


def test_calls_at_once_work_by_one_plan_and_leave_no_upload_behind() -> None:
    world = World()
    results = apart(world.sources([range(n * 5 + 1, n * 5 + 6) for n in range(20)]))
    put_over = world.writer.put_over

    def overtaken(*args: Any) -> ObjectInfo:
        world.writer.put_over = put_over  # type: ignore[method-assign]
        assert world.file().undone(results)
        return put_over(*args)

    world.writer.put_over = overtaken  # type: ignore[method-assign, assignment]
    chunks = world.file().undone(results)
    assert len(world.multipart.open_ids) == 1
    for chunk in [*chunks, *chunks]:
        world.assemble(chunk)
    info = world.file().put(results)
    world.assemble(chunks[0])  # a ghost: the file is complete
    assert world.file().put(results) == info


def test_an_upload_that_was_given_up_for_its_age_is_begun_anew() -> None:
    world = World()
    results = apart(world.sources([range(n * 5 + 1, n * 5 + 6) for n in range(20)]))
    stale = world.file().undone(results)
    for chunk in stale:
        world.assemble(chunk)
    (multipart_id,) = world.multipart.open_ids
    world.multipart.abort(output_key("batch_1"), multipart_id)
    with pytest.raises(Unavailable):
        world.file().put(results)
    world.put(results)
    assert world.reader.head(output_key("batch_1")).bytes == sum(s.bytes for s in results.sources)


def test_a_plan_whose_put_meets_itself_keeps_its_upload() -> None:
    world = World()
    results = apart(world.sources([range(n * 5 + 1, n * 5 + 6) for n in range(20)]))
    put_over = world.writer.put_over

    def sent_twice(*args: Any) -> ObjectInfo:
        put_over(*args)
        return put_over(*args)

    world.writer.put_over = sent_twice  # type: ignore[method-assign, assignment]
    world.put(results)
    assert world.reader.head(output_key("batch_1")).bytes == sum(s.bytes for s in results.sources)
    assert world.multipart.open_ids == ()


class Counted:
    """S3 that holds sizes instead of bytes: what is called, how often, and how many bytes pass through us."""

    def __init__(self, small: Memory, sizes: Mapping[str, int]) -> None:
        self._small = small
        self._sizes = sizes
        self._parts: dict[int, int] = {}
        self.calls: Counter[str] = Counter()
        self.moved = 0
        self.largest_put = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Plans and records: as they are."""
        for port in (self._small.reader, self._small.writer):
            if hasattr(port, name):
                self.calls[name] += 1
                return getattr(port, name)  # type: ignore[no-any-return]
        raise AttributeError(name)

    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes:
        self.calls["read"] += 1
        if key not in self._sizes:
            return self._small.reader.read(key, start, stop)
        size = min(self._sizes[key], stop or self._sizes[key]) - start
        self.moved += size
        return bytes(size)

    def begin(self, key: str, content_type: str) -> str:
        return "upload"

    def put_part(self, key: str, multipart_id: str, number: int, body: bytes) -> str:
        self.calls["put_part"] += 1
        self.largest_put = max(self.largest_put, len(body))
        self._parts[number] = len(body)
        return "etag"

    def copy_part(
        self, key: str, multipart_id: str, number: int, source: str, start: int, stop: int
    ) -> str:
        self.calls["copy_part"] += 1
        self._parts[number] = stop - start
        return "etag"

    def complete(self, key: str, multipart_id: str, etags: Mapping[int, str]) -> ObjectInfo:
        self.calls["complete"] += 1
        assert sorted(etags) == sorted(self._parts) == list(range(1, len(etags) + 1))
        assert len(etags) <= PARTS_MAX
        return ObjectInfo(key, sum(self._parts.values()), "etag")


@pytest.mark.parametrize(
    ("shards", "shard_mib", "copies", "gathered"),
    [(500, 20, 500, 0), (1_000, 10, 1_000, 0), (5_000, 2, 0, 625)],
)
def test_ten_gigabytes_are_joined_in_calls_by_the_part_and_memory_by_the_part(
    shards: int, shard_mib: int, copies: int, gathered: int
) -> None:
    """What has 5 MiB and more S3 copies by itself: not a byte passes through us. Less must, in chunks that run side by
    side, at most 272 MiB each."""
    world = World(LIMITS)
    sources = [
        ResultObject(key=f"shard-{number}", bytes=shard_mib * MIB, lines=1_000)
        for number in range(shards)
    ]
    s3: Any = Counted(Memory(), {source.key: source.bytes for source in sources})
    world.reader = world.writer = world.multipart = s3
    results = apart(sources)
    moved_by_a_call: list[int] = []
    while undone := world.file().undone(results):
        assert len(undone) <= LIMITS.chunks_max
        for chunk in undone:
            before = s3.moved
            world.assemble(chunk)
            moved_by_a_call.append(s3.moved - before)
    info = world.file().put(results)
    assert info is not None
    assert info.bytes == 10_000 * MIB
    assert (s3.calls["copy_part"], s3.calls["put_part"]) == (copies, gathered)
    assert s3.calls["complete"] == 1
    assert s3.calls["read"] <= (0 if copies else shards) + 5 * (len(moved_by_a_call) + 1)
    assert s3.largest_put <= 16 * MIB
    assert max(moved_by_a_call, default=0) <= 272 * MIB
    assert s3.moved == (0 if copies else info.bytes)


def test_a_plan_of_chunks_is_small_enough_to_be_read_by_each_of_them() -> None:
    world = World(LIMITS)
    key = "work/batch_6ba7b8109dad11d180b400c04fd430c8/0/004999/0001/output.jsonl"
    sources = [ResultObject(key=key, bytes=2 * MIB, lines=1_000) for _ in range(5_000)]
    world.file().undone(apart(sources))
    assert world.reader.head(plan_key("batch_1", "output", "parts")).bytes < 1 * MIB
