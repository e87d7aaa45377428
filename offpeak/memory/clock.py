"""A clock that stands still until it is told to move."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class FrozenClock:
    """`seconds` since the epoch."""

    seconds: float = 1_767_225_600.0

    def now(self) -> float:
        return self.seconds

    def advance(self, seconds: float) -> None:
        """Moves time forward. Raises ValueError for a step back."""
        if seconds < 0:
            raise ValueError(f"Time doesn't run backwards: {seconds} s.")
        self.seconds += seconds
