"""What a pool's slots offer and cost: from an outlook's bounds, overrides and values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import mul

from offpeak.core.plan import OverrideKind, PoolOutlook, Situation, Weights

SOONEST = 1e-6
"""Dollars a slot: a released pool costs next to nothing, the sooner the less."""
HOUR = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolGrid:
    """`full` and `late` are work-seconds in each slot of an instance that serves already and of one that is ordered
    now; `hour` what an instance's hour costs in it, by the weights. `floors` are instances that serve in any case;
    `closed` are slots in which what can wait has to."""

    outlook: PoolOutlook
    seconds: Sequence[float]
    full: Sequence[float]
    late: Sequence[float]
    hour: Sequence[float]
    floors: Sequence[int]
    closed: Sequence[bool]

    @property
    def serving(self) -> int:
        """With those that are on their way: how far nobody knows, and a plan that counted their start anew each time
        would order and cancel them for ever. The margin makes up for it."""
        return self.ordered

    @property
    def ordered(self) -> int:
        return min(self.outlook.running + self.outlook.starting, self.outlook.instances_max)

    @property
    def start_hours(self) -> float:
        """What an instance is paid for without work, each time that it starts."""
        return (self.outlook.cold_start_seconds + self.outlook.drain_seconds) / HOUR

    def room(self, slot: int, instances: int) -> float:
        """Work-seconds of so many instances."""
        serving = min(self.serving, instances)
        return serving * self.full[slot] + (instances - serving) * self.late[slot]

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
    """Weights fall to zero evenly over `slots` + 1. At the ends there are fewer neighbours."""
    if slots <= 0:
        return list(values)
    last = len(values)
    weights = [1 - abs(away) / (slots + 1) for away in range(-slots, slots + 1)]
    found = []
    for slot in range(last):
        begin, end = max(0, slot - slots), min(last, slot + slots + 1)
        near = weights[begin - slot + slots : end - slot + slots]
        # Rounded, so that what is alike stays alike: among equals the earliest slot goes first.
        found.append(round(sum(map(mul, near, values[begin:end])) / sum(near), 9))
    return found
