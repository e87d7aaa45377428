"""Every minute: tells beside each dropped object whose batch runs how far it is."""

from __future__ import annotations

import logging

from offpeak.core.errors import OffpeakError
from offpeak.core.ports import Batches, Clock, Reader, Runs, Shards, Writer
from offpeak.steps.show_drop import show_drop

logger = logging.getLogger(__name__)
SECONDS_MAX = 40
"""For one call, which comes every minute. What it doesn't come to is told a minute later."""


def show_drops(
    *, clock: Clock, reader: Reader, writer: Writer, batches: Batches, runs: Runs, shards: Shards
) -> int:
    """How many statuses were written."""
    started = clock.now()
    dropped = [batch for batch in batches.open() if batch.drop is not None]
    # Another one first each minute: where there are more than fit into one, each has its turn.
    first = int(started) // 60 % len(dropped) if dropped else 0
    written = 0
    for batch in [*dropped[first:], *dropped[:first]]:
        if clock.now() - started > SECONDS_MAX:
            break
        try:
            written += show_drop(
                batch, clock=clock, reader=reader, writer=writer, batches=batches, runs=runs,
                shards=shards,
            )  # fmt: skip
        except OffpeakError as error:
            logger.error("batch %s: %s", batch.id, error)
    return written
