"""The shape that whole stretches ask for, at the one price of work at which they suffice.

If a work-second brought a fixed price, each instance could decide by itself when to be there: a shortest path over
slots, on or off, that pays for its start (Lagrangian relaxation; Fisher 1981). The price is bisected until the work is
done by all deadlines' end. Between the two shapes on either side of it, one level after the other changes over; with
one deadline that is the optimum but for a part of an instance's stretch. Deadlines before the last are for whoever
takes the shape from here (`Shaping.covered`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress
from math import inf
from typing import Protocol

BISECTIONS = 12


class Slots(Protocol):
    """What is asked of a `Shaping` (join_starts.py)."""

    @property
    def ordered(self) -> int: ...
    @property
    def rooms(self) -> Sequence[Sequence[float]]: ...
    @property
    def prices(self) -> Sequence[float]: ...
    @property
    def starts(self) -> Sequence[float]: ...
    @property
    def floors(self) -> Sequence[int]: ...
    @property
    def limits(self) -> Sequence[int]: ...
    @property
    def due(self) -> Sequence[tuple[int, float]]: ...


def priced_shape(slots: Slots, step: int) -> list[int] | None:
    """Instances of each slot; None where all there may be don't suffice, or nothing is to do. Levels change over by
    `step` at once."""
    if not slots.due:
        return None
    most, wanted = max(slots.limits, default=0), slots.due[-1][1]
    tops = range(step, most + step, step) if most else range(0)
    levels = [_Level(slots, top - step, min(top, most)) for top in tops]
    least = sum(rooms[floor] for rooms, floor in zip(slots.rooms, slots.floors, strict=True))
    high = _enough(slots)
    few = _at_price(levels, 0.0)
    many = _at_price(levels, high)
    if least + sum(room for room, _ in many) < wanted:
        return None
    low = 0.0
    for _ in range(BISECTIONS):
        price = (low + high) / 2
        found = _at_price(levels, price)
        if least + sum(room for room, _ in found) < wanted:
            low, few = price, found
        else:
            high, many = price, found
    return _between(slots, levels, few, many, wanted - least)


def _enough(slots: Slots) -> float:
    """A price at which a slot by itself is worth its start."""
    dearest = max(p + s for p, s in zip(slots.prices, slots.starts, strict=True))
    gains = [
        rooms[limit] / limit
        for rooms, limit in zip(slots.rooms, slots.limits, strict=True)
        if limit
    ]
    return 2 * dearest / max(min((gain for gain in gains if gain > 0), default=1.0), 1e-9)


def _at_price(levels: Sequence[_Level], price: float) -> list[tuple[float, list[bool]]]:
    """Work-seconds of each level, and its slots. Those that serve decide alike, as those that don't: they differ in
    little but what is kept free."""
    decided: dict[bool, list[bool]] = {}
    found = []
    for level in levels:
        if level.serves not in decided:
            decided[level.serves] = level.slots_at(price)
        slots = decided[level.serves]
        found.append((sum(compress(level.gains, slots)), slots))
    return found


def _between(
    slots: Slots, levels: Sequence[_Level], few: Sequence[tuple[float, list[bool]]],
    many: Sequence[tuple[float, list[bool]]], wanted: float,
) -> list[int]:  # fmt: skip
    shape = list(slots.floors)
    room = sum(each for each, _ in few)
    for level, less, more in zip(levels, few, many, strict=True):
        chosen = less
        if room < wanted:
            chosen = more
            room += more[0] - less[0]
        for slot, is_on in enumerate(chosen[1]):
            if is_on:
                shape[slot] = max(shape[slot], min(level.top, slots.limits[slot]))
    return shape


class _Level:
    """Instances above `bottom`, up to `top`, that come and go together. `gains` are their work-seconds."""

    def __init__(self, slots: Slots, bottom: int, top: int) -> None:
        count = top - bottom
        self.top = top
        self.serves = bottom < slots.ordered
        self.gains = [
            max(0.0, rooms[min(top, limit)] - rooms[min(max(bottom, floor), limit)])
            for rooms, floor, limit in zip(slots.rooms, slots.floors, slots.limits, strict=True)
        ]
        self._costs = [
            (hour * count, start * count, gain)
            for hour, start, gain in zip(slots.prices, slots.starts, self.gains, strict=True)
        ]

    def slots_at(self, price: float) -> list[bool]:
        """The best that they can do at this price, by dynamic programming over on and off."""
        on, off = (0.0 if self.serves else inf), 0.0
        came: list[tuple[bool, bool]] = []
        for hour, start, gain in self._costs:
            begun = off + start
            stayed, left = on <= begun, on < off
            came.append((left, stayed))
            then = (on if stayed else begun) + hour - gain * price
            if left:
                off = on
            on = then
        is_on = on < off
        found = []
        for left, stayed in reversed(came):
            found.append(is_on)
            is_on = stayed if is_on else left
        return found[::-1]
