"""What a pool's slots offer and cost: from an outlook's bounds, overrides and values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

from offpeak.core.plan import OverrideKind, PoolOutlook, Situation, Weights

SOONEST = 1e-6
"""Dollars a slot: a released pool costs next to nothing, the sooner the less."""
HOUR = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolGrid:
    """`full` and `late` are work-seconds in each slot of an instance that serves already and of one that is ordered
    now; `hour` what an instance's hour costs in it, by the weights. `floors` are instances that serve in any case;
    `closed` are slots in which what can wait has to.

    `serving` counts those that are on their way, too: how far nobody knows, and a plan that counted their start anew
    each time would order and cancel them for ever. The margin makes up for it."""

    outlook: PoolOutlook
    serving: int
    seconds: Sequence[float]
    full: Sequence[float]
    late: Sequence[float]
    hour: Sequence[float]
    floors: Sequence[int]
    closed: Sequence[bool]

    @property
    def start_hours(self) -> float:
        """What an instance is paid for without work, each time that it starts."""
        return (self.outlook.cold_start_seconds + self.outlook.drain_seconds) / HOUR

    def room(self, slot: int, instances: int) -> float:
        """Work-seconds of so many instances."""
        serving = min(self.serving, instances)
        return serving * self.full[slot] + (instances - serving) * self.late[slot]

    def rooms(self, slot: int) -> list[float]:
        """The same of none, one, … all."""
        full, late, serving = self.full[slot], self.late[slot], self.serving
        more = self.outlook.instances_max - serving
        return [n * full for n in range(serving + 1)] + [
            serving * full + n * late for n in range(1, more + 1)
        ]

    def instances_for(self, slot: int, seconds: float) -> int:
        """The fewest instances that do so much work in the slot; all there may be, if they don't suffice."""
        if seconds <= 1e-6:
            return 0
        if seconds <= self.room(slot, self.serving) + 1e-6:
            return math.ceil(seconds / self.full[slot] - 1e-6)
        if self.late[slot] <= 0:
            return self.outlook.instances_max
        more = math.ceil((seconds - self.room(slot, self.serving)) / self.late[slot] - 1e-6)
        return min(self.outlook.instances_max, self.serving + more)

    def rate(self, slot: int) -> float:
        """Of a second of work."""
        return self.hour[slot] / HOUR / self.outlook.speed


def pool_grid(situation: Situation, outlook: PoolOutlook, slots: int) -> PoolGrid:
    now, length = situation.now, situation.slot_seconds
    ready = now + outlook.cold_start_seconds
    begins = [situation.starts_at + slot * length for slot in range(slots)]
    override = outlook.override if outlook.override and outlook.override.until > now else None
    ordered = [override is not None and begin < override.until for begin in begins]
    kind = override.kind if override else None
    floor = min(outlook.instances_max, override.instances) if override else 0
    hour = _hours(outlook, situation.weights, [max(0.0, begin - now) for begin in begins])
    hour = _smoothed(hour, situation.smoothing_slots)
    if kind is OverrideKind.RELEASE:
        hour = [
            SOONEST * (slot + 1) if on else price
            for slot, (on, price) in enumerate(zip(ordered, hour, strict=True))
        ]
    return PoolGrid(
        outlook=outlook, hour=hour,
        serving=min(outlook.running + outlook.starting, outlook.instances_max),
        seconds=[begin + length - max(begin, now) for begin in begins],
        full=[(begin + length - max(begin, now)) * outlook.speed for begin in begins],
        late=[max(0.0, begin + length - max(begin, ready)) * outlook.speed for begin in begins],
        floors=[
            max(outlook.instances_min, floor if kind is OverrideKind.BOOST and on else 0)
            for on in ordered
        ],
        closed=[kind is OverrideKind.HOLD and on for on in ordered],
    )  # fmt: skip


def _hours(outlook: PoolOutlook, weights: Weights, waits: Sequence[float]) -> list[float]:
    return [
        weights.dollars * dollars + weights.carbon * carbon + weights.earliness * wait / HOUR
        for dollars, carbon, wait in zip(outlook.dollars, outlook.carbon, waits, strict=False)
    ]


def _smoothed(values: Sequence[float], slots: int) -> list[float]:
    """Weights fall to zero evenly over `slots` + 1 to either side, as two means one after the other do; the first and
    last value go on beyond the ends. Rounded, so that what is alike stays alike: among equals the earliest goes first.
    """
    if slots <= 0 or not values:
        return list(values)
    padded = [*[values[0]] * slots, *values, *[values[-1]] * slots]
    return [round(mean, 9) for mean in _means(_means(padded, slots + 1), slots + 1)]


def _means(values: Sequence[float], width: int) -> list[float]:
    """Of each `width` values in a row."""
    sums = list(accumulate(values, initial=0.0))
    return [(sums[end] - sums[end - width]) / width for end in range(width, len(sums))]
