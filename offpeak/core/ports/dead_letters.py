"""Dead-letter queues (SQS), as an operator empties them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from offpeak.core.dead_letter import DeadLetter, DeadQueue


class DeadLetters(Protocol):
    def queues(self) -> Sequence[DeadQueue]:
        """Every dead-letter queue of the deployment, by name."""
        ...

    def peek(self, queue: DeadQueue, limit: int) -> Sequence[DeadLetter]:
        """Some of its records, at most so many, which stay. May find fewer than there are."""
        ...

    def move(self, queue: DeadQueue) -> int | None:
        """Gives its records back to the queue that they were meant for, where each is handled as if it had just come.
        How many were; None when SQS does it on its own from here. A move that is under way is left to go on.

        A record may be moved twice when a move breaks off: handlers take that.
        """
        ...
