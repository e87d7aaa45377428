"""Shows what was given up, and gives it back to whom it was meant for once its cause is mended.

Handlers take a record any number of times, so giving it back is safe, and to give back what fails again only brings it
here again. Nothing of a batch hangs on it: the sweep has found what the record would have told long ago.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offpeak.core.dead_letter import FIFO, READERS, DeadQueue, LetterSummary
from offpeak.core.errors import NotFound
from offpeak.core.ports import DeadLetters
from offpeak.wire.dead_letters import names_in

SAMPLE = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """One dead-letter queue and some of its records, the oldest first."""

    queue: DeadQueue
    sample: Sequence[LetterSummary]

    @property
    def oldest_sent_at(self) -> int | None:
        """Of those that were seen."""
        return self.sample[0].sent_at if self.sample else None


def show_letters(
    name: str | None = None, *, dead_letters: DeadLetters, sample: int = SAMPLE
) -> list[Given]:
    """Every dead-letter queue, or the one of this name. Raises NotFound for a name that none has."""
    return [
        Given(queue=queue, sample=_sample(queue, sample, dead_letters) if queue.letters else ())
        for queue in _chosen(name, dead_letters)
    ]


def check_queue(name: str) -> None:
    """Raises NotFound for a name that no queue of any deployment has."""
    known = [DeadQueue(meant_for=queue, letters=0) for queue in READERS]
    if not any(name in _names_of(queue) for queue in known):
        raise _unknown(name, known)


def redrive_letters(queue: DeadQueue, *, dead_letters: DeadLetters) -> int | None:
    """How many records were given back; None when that goes on by itself. An empty queue has none."""
    return dead_letters.move(queue) if queue.letters else 0


def _chosen(name: str | None, dead_letters: DeadLetters) -> Sequence[DeadQueue]:
    found = dead_letters.queues()
    if name is None:
        return found
    wanted = [queue for queue in found if name in _names_of(queue)]
    if not wanted:
        raise _unknown(name, found)
    return wanted


def _unknown(name: str, queues: Sequence[DeadQueue]) -> NotFound:
    there_are = ", ".join(queue.meant_for for queue in queues)
    return NotFound(f"There is no queue {name!r}. There are: {there_are}.", code="unknown_queue")


def _names_of(queue: DeadQueue) -> set[str]:
    """By its own name, or by that of the queue that it is beside."""
    names = (queue.name, queue.meant_for)
    return {*names, *(name.removesuffix(FIFO) for name in names)}


def _sample(queue: DeadQueue, limit: int, dead_letters: DeadLetters) -> Sequence[LetterSummary]:
    letters = sorted(dead_letters.peek(queue, limit), key=lambda letter: letter.sent_at)
    return [
        LetterSummary(id=letter.id, sent_at=letter.sent_at, names=names_in(letter.body))
        for letter in letters
    ]
