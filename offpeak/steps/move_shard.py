"""Moves one shard, and its run's counts with it, however many others move either at the same time."""

from __future__ import annotations

from collections.abc import Callable

from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.ports import Changes, Runs, Save, Shards
from offpeak.core.run import Run
from offpeak.core.shard import Shard

CONFLICTS_MAX = 20

Decide = Callable[[Shard, Run], Shard | None]


def move_shard(
    batch_id: str, run: int, number: int, decide: Decide, *, runs: Runs, shards: Shards,
    changes: Changes, and_run: Callable[[Run], Run] | None = None,
) -> Shard | None:  # fmt: skip
    """The shard as `decide` moved it, or None where it wanted no move.

    `decide` gets the two rows as they are; it is asked again whenever somebody else was quicker. A shard that was open
    and is not any more leaves its run's count of open ones in the same transaction, with what `and_run` makes of the
    run then. Raises NotFound for an unknown shard, Unavailable after `CONFLICTS_MAX` conflicts.
    """
    for _ in range(CONFLICTS_MAX):
        shard, its_run = shards.get(batch_id, run, number), runs.get(batch_id, run)
        moved = decide(shard, its_run)
        if moved is None:
            return None
        changed = [Save(moved)]
        if shard.is_open and not moved.is_open:
            ended = its_run.shard_ended(moved.progress, moved.usage, moved.seconds, moved.metered)
            changed.append(Save(and_run(ended) if and_run else ended))
        try:
            changes.commit(*changed)
        except StateConflict:
            continue
        return moved
    raise Unavailable(f"Shard {batch_id}.{run}.{number} changed {CONFLICTS_MAX} times meanwhile.")
