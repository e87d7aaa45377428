"""Dead-letter queues in memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from offpeak.core.dead_letter import READERS, DeadLetter, DeadQueue


class MemoryDeadLetters:
    """`letters` are those given up, by the queue that they were meant for; `given` those that were given back."""

    def __init__(self) -> None:
        self.letters: defaultdict[str, list[DeadLetter]] = defaultdict(list)
        self.given: defaultdict[str, list[str]] = defaultdict(list)

    def queues(self) -> Sequence[DeadQueue]:
        return [DeadQueue(meant_for=name, letters=len(self.letters[name])) for name in READERS]

    def peek(self, queue: DeadQueue, limit: int) -> Sequence[DeadLetter]:
        return self.letters[queue.meant_for][:limit]

    def move(self, queue: DeadQueue) -> int | None:
        moved = [letter.body for letter in self.letters[queue.meant_for]]
        self.letters[queue.meant_for].clear()
        self.given[queue.meant_for] += moved
        return len(moved)
