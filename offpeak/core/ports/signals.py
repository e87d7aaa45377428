"""Signals of regions: what services tell, what operators set, and what is known of past hours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from offpeak.core.signal import Signal


class Signals(Protocol):
    def newest(self, region: str) -> Sequence[Signal]:
        """The last word of each source on this region, however old, and what services said before that
        (planner/lagged_average.py); none of a region that nobody told of. What can't be read is left out, with a line
        in the log."""
        ...


class SignalSource(Protocol):
    """A service."""

    @property
    def name(self) -> str:
        """As a word of a key: `electricity-maps`."""
        ...

    def fetch(self, region: str, now: float) -> Sequence[Signal]:
        """What it tells of this region; none where it doesn't know it. Raises Unavailable."""
        ...


class SignalMetrics(Protocol):
    def publish_signal(self, region: str, measured_at: int, values: Mapping[str, float]) -> None:
        """`SignalAgeSeconds`, and `SignalFallback`: 1 while the region goes by its typical year, else 0."""
        ...
