"""Shares the shards that lack results out among harvests that run side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

CHUNKS_MAX = 200
"""What a Map's input and its history bear; a batch of more runs has a chunk for each."""
CHUNK_SHARDS_MIN = 8
"""A shard takes about a second: fewer would not be worth a state of their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Shards `first` to `last` of a run, both included. Those between that have results are passed over."""

    run: int
    first: int
    last: int


def cut_harvest(missing: Mapping[int, Sequence[int]]) -> list[Chunk]:
    """Chunks that cover each run's `missing` shards (sorted numbers), about evenly."""
    total = sum(map(len, missing.values()))
    # Each run's last chunk may be smaller than the others.
    full = max(1, CHUNKS_MAX - len(missing))
    size = max(CHUNK_SHARDS_MIN, -(-total // full))
    return [chunk for run, numbers in missing.items() for chunk in _of_run(run, numbers, size)]


def _of_run(run: int, numbers: Sequence[int], size: int) -> Iterator[Chunk]:
    for start in range(0, len(numbers), size):
        mine = numbers[start : start + size]
        yield Chunk(run=run, first=mine[0], last=mine[-1])
