"""Shards out of rewritten chunks: every line once, within the limits, groups in one shard where they fit."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.core.draft import ChunkIndex
from offpeak.core.layout import reordered_lines_key
from offpeak.core.ports import ORDER_BYTES_MAX
from offpeak.core.shard import PlannedShard, Segment
from offpeak.planner.cut_reordered import CHUNKS_MAX, ChunkCutter, Slice, cut_reordered
from offpeak.planner.cut_shards import ShardLimits
from offpeak.wire.manifest import encode_shard


def chunk(lines: Sequence[tuple[int, int]]) -> ChunkIndex:
    """Of lines with (key, bytes) each."""
    ordered = sorted(lines, key=lambda line: line[0])
    return ChunkIndex(
        keys=[key for key, _ in ordered], stops=list(accumulate(size for _, size in ordered)),
        first_line=1, last_line=9,
    )  # fmt: skip


def lines_of(each: Slice, chunks: Sequence[ChunkIndex]) -> list[tuple[int, int]]:
    """(key, bytes) of each."""
    source = chunks[each.chunk]
    starts = [0, *source.stops]
    return [(source.keys[n], source.stops[n] - starts[n]) for n in range(each.first, each.stop)]


sizes = st.integers(1, 60)
few_keys = st.lists(st.lists(st.tuples(st.integers(0, 6), sizes), max_size=30), max_size=5)
many_keys = st.lists(st.lists(st.tuples(st.integers(0, 2**64 - 1), sizes), max_size=30), max_size=5)
limits = st.builds(ShardLimits, lines_max=st.integers(1, 40), bytes_max=st.integers(40, 600))


@given(st.one_of(few_keys, many_keys), limits)
def test_every_line_is_in_one_shard_which_keeps_its_limits(
    files: list[list[tuple[int, int]]], limits: ShardLimits
) -> None:
    chunks = [chunk(lines) for lines in files]
    seen: Counter[tuple[int, int]] = Counter()
    for shard in cut_reordered(chunks, limits):
        assert [each.chunk for each in shard] == sorted({each.chunk for each in shard})
        lines = [line for each in shard for line in lines_of(each, chunks)]
        assert lines
        assert len(lines) <= limits.lines_max
        assert sum(size for _, size in lines) <= limits.bytes_max or len(lines) == 1
        seen.update((each.chunk, n) for each in shard for n in range(each.first, each.stop))
    assert seen == Counter((c, n) for c, lines in enumerate(files) for n in range(len(lines)))


@given(st.one_of(few_keys, many_keys), st.integers(20, 40))
def test_a_group_that_fits_a_shard_is_in_one(
    files: list[list[tuple[int, int]]], lines_max: int
) -> None:
    """Unless it stands in a cell of groups that are together too large; in one of its own it is never parted."""
    chunks = [chunk(lines) for lines in files]
    of_group: Counter[int] = Counter(key for lines in files for key, _ in lines)
    limits = ShardLimits(lines_max=lines_max, bytes_max=10**6)
    shards_of: dict[int, set[int]] = defaultdict(set)
    for number, shard in enumerate(cut_reordered(chunks, limits)):
        for key in {key for each in shard for key, _ in lines_of(each, chunks)}:
            shards_of[key].add(number)
    for key, shards in shards_of.items():
        if of_group[key] <= lines_max:
            assert len(shards) == 1


@given(many_keys, limits)
def test_shards_come_in_the_order_of_keys(
    files: list[list[tuple[int, int]]], limits: ShardLimits
) -> None:
    chunks = [chunk(lines) for lines in files]
    highest = -1
    for shard in cut_reordered(chunks, limits):
        keys = [key for each in shard for key, _ in lines_of(each, chunks)]
        assert min(keys) >= highest
        highest = max(keys)


def test_a_hot_group_is_split_into_full_shards_and_the_others_are_not_torn() -> None:
    chunks = [chunk([(1, 10)] * 3 + [(5, 10)] * 250 + [(7, 10)] * 3) for _ in range(4)]
    shards = list(cut_reordered(chunks, ShardLimits(lines_max=100, bytes_max=10**6)))
    keys = [{key for each in shard for key, _ in lines_of(each, chunks)} for shard in shards]
    assert keys == [{1}, *[{5}] * 10, {7}]


def test_shards_are_nearly_full() -> None:
    chunks = [chunk([(n * 7919 % 2**20 << 40, 100) for n in range(c, 40_000, 4)]) for c in range(4)]
    shards = list(cut_reordered(chunks, ShardLimits(lines_max=2_000, bytes_max=10**9)))
    assert len(shards) <= 22
    assert all(len(shard) == 4 for shard in shards)


@settings(max_examples=30)
@given(st.lists(st.integers(1, 300), min_size=1, max_size=30), st.integers(1, 400))
def test_chunks_cover_a_manifest_and_keep_their_limits(sizes: list[int], bytes_max: int) -> None:
    cutter = ChunkCutter(bytes_max=bytes_max, lines_max=5)
    position, places = 0, []
    for number, size in enumerate(sizes):
        segment = Segment(key="k", start=position, stop=position + size, first_line=1, lines=2)
        cutter.add(PlannedShard(number=number, segments=(segment,)), line_bytes=10)
        places.append(size)
        position += size
    chunks = cutter.finish()
    assert [each.start for each in chunks] == [0, *(each.stop for each in chunks[:-1])]
    assert chunks[-1].stop == 10 * len(sizes)
    for each in chunks:
        of_chunk = places[each.start // 10 : each.stop // 10]
        assert len(of_chunk) == 1 or (sum(of_chunk) <= bytes_max and 2 * len(of_chunk) <= 5)


def test_a_shard_of_the_most_chunks_can_be_dispatched_and_a_state_holds_their_list() -> None:
    segments = tuple(
        Segment(
            key=reordered_lines_key("batch_" + "x" * 26, 17, number), start=2**31, stop=2**31 + 9,
            first_line=5_000_000, lines=5_000, last_line=5_000_000,
        )
        for number in range(CHUNKS_MAX)
    )  # fmt: skip
    assert len(encode_shard(PlannedShard(number=99_999, segments=segments))) < ORDER_BYTES_MAX
    listed = json.dumps([{"run": 17, "chunk": number} for number in range(CHUNKS_MAX)])
    assert len(listed) < 256_000 // 2


@pytest.mark.parametrize("chunks", [[], [chunk([])]])
def test_nothing_gives_no_shard(chunks: list[ChunkIndex]) -> None:
    assert list(cut_reordered(chunks, ShardLimits(lines_max=5, bytes_max=5))) == []
