"""Which of a batch's ids come more than once, among the sorted ids of its range reports.

The ids of all ranges are walked in stretches of the hashes' order, by the first 64 bits of each: what comes once there
is done with, at the speed of a set of integers. Only where these come more than once are the whole hashes compared.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import count

from offpeak.wire.range_report import HASH_BYTES, ID_BYTES

STRETCH_IDS = 2**17
"""Few enough that a set of them stays in the processor's cache."""


class Repeats:
    """Lines of one range whose id an earlier line of the file has. 8 bytes each: a file may be nothing else."""

    def __init__(self) -> None:
        self._packed = array("Q")

    def add(self, line: int, first_line: int) -> None:
        self._packed.append(line << 32 | first_line)

    def __len__(self) -> int:
        return len(self._packed)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """(line, the first line with its id), by line."""
        for packed in sorted(self._packed):
            yield packed >> 32, packed & 0xFFFFFFFF


def repeated_ids(columns: Sequence[bytes], first_lines: Sequence[int]) -> list[Repeats]:
    """Of each range. A column is a range's ids as its report holds them; `first_lines` are the ranges' in the file,
    ascending."""
    leading = [_leading(column) for column in columns]
    found = [Repeats() for _ in columns]
    stretches = max(1, sum(map(len, leading)) // STRETCH_IDS)
    starts = [0] * len(columns)
    for stretch in range(1, stretches + 1):
        bound = (stretch << 64) // stretches
        stops = [
            bisect_left(hashes, bound, start) for hashes, start in zip(leading, starts, strict=True)
        ]
        repeated = _repeated(leading, starts, stops)
        if repeated:
            _compare(repeated, columns, leading, starts, stops, first_lines, found)
        starts = stops
    return found


def _leading(column: bytes) -> array[int]:
    """The first 64 bits of each id, as numbers. By strides of 32 bits, because that many divide an id."""
    words = array("I", column)
    step = ID_BYTES // words.itemsize
    halves = array("I", bytes(len(words) // step * 8))
    halves[0::2], halves[1::2] = words[0::step], words[1::step]
    hashes = array("Q", halves.tobytes())
    if sys.byteorder == "little":
        hashes.byteswap()
    return hashes


def _repeated(
    leading: Sequence[array[int]], starts: Sequence[int], stops: Sequence[int]
) -> set[int]:
    """Hashes that come more than once in a stretch."""
    stretch = array("Q")
    for hashes, start, stop in zip(leading, starts, stops, strict=True):
        stretch += hashes[start:stop]
    if len(set(stretch)) == len(stretch):
        return set()
    once: set[int] = set()
    repeated: set[int] = set()
    for each in stretch:
        (repeated if each in once else once).add(each)
    return repeated


def _compare(
    repeated: set[int], columns: Sequence[bytes], leading: Sequence[array[int]],
    starts: Sequence[int], stops: Sequence[int], first_lines: Sequence[int],
    found: Sequence[Repeats],
) -> None:  # fmt: skip
    """In the order of the file: an id's first line is met first, for a range has equal ids by line."""
    firsts: dict[bytes, int] = {}
    for number in range(len(columns)):
        column, first_line, repeats = columns[number], first_lines[number], found[number]
        hashes = leading[number][starts[number] : stops[number]]
        for each, at in zip(hashes, count(starts[number] * ID_BYTES, ID_BYTES), strict=False):
            if each in repeated:
                line = first_line + int.from_bytes(column[at + HASH_BYTES : at + ID_BYTES])
                first = firsts.setdefault(column[at : at + HASH_BYTES], line)
                if first != line:
                    repeats.add(line, first)
