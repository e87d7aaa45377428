"""The ports that a worker needs, handed over in one piece by the composition root."""

from __future__ import annotations

from dataclasses import dataclass

from offpeak.core.ports import Changes, Clock, Reader, Runs, Shards, Writer
from offpeak.worker.images import Images


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPorts:
    """Without `images`, requests that name some are refused."""

    clock: Clock
    reader: Reader
    writer: Writer
    changes: Changes
    runs: Runs
    shards: Shards
    images: Images | None = None
