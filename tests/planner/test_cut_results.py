"""A large result file is shared out: all of it, in order, in chunks that are bounded and parts that S3 takes."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.ports import PART_BYTES_MIN, PARTS_MAX
from offpeak.core.shard import ResultObject
from offpeak.core.sorted_index import SortedIndex
from offpeak.planner.cut_results import (
    AssemblyLimits,
    cut_groups,
    cut_intervals,
    cut_pieces,
    needs_chunks,
)
from offpeak.planner.join_pieces import MIB, join_pieces

LIMITS = AssemblyLimits()
SMALL = AssemblyLimits(
    call_bytes_max=50, call_pieces_max=4, chunk_bytes=30, chunk_pieces=3, chunks_max=10,
    streams_max=3, index_bytes=8, part_bytes=10, part_bytes_min=5,
)  # fmt: skip
SIZES = st.lists(st.integers(0, 40), max_size=60)


@given(SIZES)
def test_chunks_hold_the_pieces_of_the_join_in_order(sizes: list[int]) -> None:
    chunks = list(cut_pieces(sizes, SMALL))
    pieces = [piece for chunk in chunks for piece in chunk.pieces]
    assert pieces == list(join_pieces(sizes, SMALL.part_bytes_min, SMALL.part_bytes))
    assert [chunk.first_part for chunk in chunks] == [
        1 + sum(len(before.pieces) for before in chunks[:number]) for number in range(len(chunks))
    ]
    assert len(chunks) <= SMALL.chunks_max + 1


@pytest.mark.parametrize(
    ("shards", "bytes", "chunks", "parts"),
    [(5_000, 2_000_000, 38, 556), (500, 20_000_000, 2, 500), (5_000, 10_000_000, 20, 5_000)],
)
def test_ten_and_fifty_gigabytes_are_joined_by_chunks_that_move_little(
    shards: int, bytes: int, chunks: int, parts: int
) -> None:
    """Results of 2 MB must be read to be gathered, in functions side by side; larger ones S3 copies by itself."""
    cut = list(cut_pieces([bytes] * shards, LIMITS))
    assert len(cut) == chunks
    assert sum(len(chunk.pieces) for chunk in cut) == parts <= PARTS_MAX
    for chunk in cut:
        gathered = [piece for piece in chunk.pieces if len(piece) > 1]
        assert sum(each.bytes for piece in gathered for each in piece) < 300 * MIB


def test_what_a_call_can_do_by_itself_is_not_shared_out() -> None:
    assert not needs_chunks([2_000_000] * 100, LIMITS)
    assert not needs_chunks([200_000_000] * 500, LIMITS)
    assert needs_chunks([2_000_000] * 200, LIMITS)
    assert needs_chunks([20_000_000] * 600, LIMITS)


@given(SIZES)
def test_groups_hold_every_source_once_within_their_limits(sizes: list[int]) -> None:
    sources = [ResultObject(key=str(n), bytes=size, lines=1) for n, size in enumerate(sizes)]
    groups = list(cut_groups(sources, SMALL))
    assert [source for group in groups for source in group] == sources
    assert all(groups)
    assert len(groups) <= SMALL.chunks_max + 1
    streams_max = max(SMALL.streams_max, -(-2 * len(sources) // SMALL.chunks_max))
    assert all(len(group) <= streams_max for group in groups)


def _indexes(objects: list[list[tuple[int, int]]], every: int) -> list[SortedIndex]:
    """Of objects given as (line, bytes of its answer)."""
    indexes = []
    for answers in objects:
        lines, offsets, offset, after = [], [], 0, 0
        for line, size in answers:
            if offset >= after:
                lines.append(line)
                offsets.append(offset)
                after = offset + every
            offset += size
        indexes.append(SortedIndex(bytes=offset, size=len(answers), lines=lines, offsets=offsets))
    return indexes


ANSWERS = st.lists(st.tuples(st.integers(0, 4), st.integers(1, 12)), min_size=1, max_size=120)


@given(ANSWERS, st.integers(1, 40))
def test_intervals_hold_every_line_once_and_make_parts_that_s3_takes(
    answers: list[tuple[int, int]], every: int
) -> None:
    objects: list[list[tuple[int, int]]] = [[] for _ in range(5)]
    for line, (number, size) in enumerate(answers, 1):
        objects[number].append((line, size))
    sizes = [size for _, size in answers]
    indexes = _indexes(objects, every)
    found: list[int] = []
    part = 1
    intervals = list(cut_intervals(indexes, SMALL))
    for interval in intervals:
        within = []
        for each in interval.slices:
            offset = 0
            for line, size in objects[each.source]:
                stop_line = interval.stop_line or len(answers) + 1
                if each.start <= offset < each.stop and interval.first_line <= line < stop_line:
                    within.append(line)
                    assert offset + size <= each.stop
                offset += size
        assert sorted(within)[0] >= max([0, *found[-1:]])
        found += sorted(within)
        if interval is not intervals[-1]:
            assert sum(sizes[line - 1] for line in within) >= SMALL.part_bytes_min
        assert interval.first_part == part
        part += interval.parts_max
    assert found == list(range(1, len(answers) + 1))


def test_ten_gigabytes_in_five_million_lines_are_merged_by_a_bounded_number_of_intervals() -> None:
    """Forty sorted objects, each line of one of them in turn: what a re-partition by prefix leaves."""
    objects, lines, line_bytes = 40, 5_000_000, 2_000
    step = LIMITS.index_bytes // line_bytes
    indexes = []
    for number in range(objects):
        of_entries = range(0, lines // objects, step)
        indexes.append(
            SortedIndex(
                bytes=lines // objects * line_bytes, size=lines // objects,
                lines=[1 + number + objects * entry for entry in of_entries],
                offsets=[entry * line_bytes for entry in of_entries],
            )
        )  # fmt: skip
    intervals = list(cut_intervals(indexes, LIMITS))
    assert len(intervals) <= 40
    assert sum(interval.parts_max for interval in intervals) <= PARTS_MAX
    for interval in intervals[:-1]:
        assert interval.stop_line is not None
        held = (interval.stop_line - interval.first_line) * line_bytes
        assert PART_BYTES_MIN < LIMITS.chunk_bytes <= held < 1.1 * LIMITS.chunk_bytes
        read = sum(each.bytes for each in interval.slices)
        assert read <= held + 2 * objects * LIMITS.index_bytes


def test_a_wider_index_only_costs_reading() -> None:
    objects = [[(line, 3) for line in range(first, 200, 4)] for first in (1, 2, 3, 4)]
    for every in (1, 10, 10_000):
        cut = list(cut_intervals(_indexes(objects, every), replace(SMALL, chunk_bytes=20)))
        assert cut[-1].stop_line is None
        firsts = [interval.first_line for interval in cut]
        assert firsts == sorted(firsts)
        assert bisect_left(firsts, 1) in (0, 1)
