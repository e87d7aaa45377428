"""What was planned before lines are reordered, and what reordering them gives.

plan: shards in the file's order ─► does the order pay? ── no ──────────────────────────► runs
                                        └─ yes ─► draft ─► each chunk rewritten ─► plan: shards in the new order
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offpeak.core.run import Run
from offpeak.core.sharing import CachedShare


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Consecutive shards of a run that are rewritten together: the bytes [start, stop) of its manifest."""

    start: int
    stop: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DraftRun:
    """A run as it would be in the file's order. Where another order pays, its lines are rewritten in `chunks`."""

    run: Run
    share: CachedShare
    chunks: tuple[Chunk, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    runs: tuple[DraftRun, ...]
    lines: int
    invalid_lines: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkIndex:
    """The lines of a rewritten chunk, as they lie in its object: each one's sort key, which never falls, and where its
    bytes stop. Their numbers lie between `first_line` and `last_line`."""

    keys: Sequence[int]
    stops: Sequence[int]
    first_line: int
    last_line: int
