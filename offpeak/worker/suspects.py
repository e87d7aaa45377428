"""Lines that were on the engine when it died: which of them are to be tried again with care, and which is to blame.

    died while it was one of many ─► at most `FEW` such lines of the shard at a time, after all others
    died while it was one of few  ─► alone on the engine, after those
    died while it was alone       ─► it is to blame: engine_error, never tried again

So one line that kills the engine costs three deaths and its neighbours finish, whatever else was on the engine: the
fourth attempt, the last that a model allows by default, writes the results. Whoever sees a death leaves an object
beside the checkpoints; a worker whose whole process is killed can't, and its attempt counts for nobody: when attempts
run out so, the shard is bisected (planner/bisect_shard.py).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import Enum, auto

import msgspec

from offpeak.core.ports import Reader, Writer

FEW = 8
SUSPECTS_BYTES_MAX = 10_000_000


class Care(Enum):
    """With how much care a line is run, least first."""

    NONE = auto()
    FEW = auto()
    ALONE = auto()
    NOT_AT_ALL = auto()


class _Death(msgspec.Struct):
    """The numbers of the lines that were in flight; `alone`: it was run with the greatest care, so nothing else was."""

    lines: list[int]
    alone: bool = False


_DEATHS = msgspec.json.Decoder(_Death)


class Suspects:
    """Of one shard. `load` and `accuse` call ports and are meant for a thread."""

    def __init__(self, work_prefix: str, attempt: int, *, reader: Reader, writer: Writer) -> None:
        self._prefix = f"{work_prefix}suspects/"
        self._attempt = attempt
        self._reader = reader
        self._writer = writer
        self._deaths: Counter[int] = Counter()
        self._guilty: set[int] = set()

    def load(self) -> None:
        """Takes over what earlier attempts have seen. Raises ValueError for an object that is none of ours."""
        self._deaths.clear()
        for info in self._reader.list(self._prefix):
            death = _DEATHS.decode(self._reader.read(info.key, 0, SUSPECTS_BYTES_MAX))
            self._deaths.update(death.lines)
            if death.alone:
                self._guilty.update(death.lines)

    def care_for(self, number: int) -> Care:
        if number in self._guilty:
            return Care.NOT_AT_ALL
        deaths = self._deaths.get(number, 0)
        if deaths == 0:
            return Care.NONE
        return Care.FEW if deaths == 1 else Care.ALONE

    def accuse(self, lines: Iterable[int], *, alone: bool) -> None:
        """The engine has died with these in flight."""
        body = msgspec.json.encode(_Death(lines=sorted(lines), alone=alone))
        self._writer.put(f"{self._prefix}{self._attempt:04}.json", body, "application/json")
