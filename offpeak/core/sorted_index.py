"""Where the answers to an input's lines are in an object that holds them in the order of the lines, roughly."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SortedIndex:
    """What is where in a sorted object of `size` lines: line `lines[i]` of the input is answered at byte `offsets[i]`.
    Its first line has an entry, and one of every so many bytes."""

    bytes: int
    size: int
    lines: Sequence[int]
    offsets: Sequence[int]

    def floor(self, line: int) -> int:
        """`line` and those after it are answered at this byte or after it."""
        entry = bisect_right(self.lines, line)
        return self.offsets[entry - 1] if entry else 0

    def ceil(self, line: int) -> int:
        """The lines before `line` are answered before this byte."""
        entry = bisect_left(self.lines, line)
        return self.offsets[entry] if entry < len(self.offsets) else self.bytes
