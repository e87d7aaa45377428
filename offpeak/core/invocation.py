"""What one invocation of a worker is told (a ShardOrder) and what it answers (a ShardReport)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from offpeak.core.lengths import Lengths
from offpeak.core.shard import Probe, ResultObject, Segment
from offpeak.core.usage import Counts, Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardOrder:
    """Work attempt `attempt` of this shard. Rides inline in InvokeEndpointAsync: at most 128,000 bytes as JSON.

    `work_prefix` is where checkpoints and result objects of this shard live: `work/{batch}/{run}/{shard}/`.
    In a gathering's shard requests are cancelled one by one: `cancelled_prefix` is where that is told. An `express`
    shard is a few lines, which go before those of older shards. With a `probe` only its lines are worked, of those that
    have no result yet.
    """

    batch_id: str
    account_id: str
    run: int
    number: int
    attempt: int
    model: str
    endpoint: str
    segments: tuple[Segment, ...]
    work_prefix: str
    cancelled_prefix: str | None = None
    express: bool = False
    probe: Probe | None = None

    @property
    def shard_id(self) -> str:
        return f"{self.batch_id}.{self.run}.{self.number}"


class Outcome(StrEnum):
    """done: every line has its result. partial: the time limit came; checkpoints hold what is done. stopped: told to
    (SIGTERM, or the run is closing); the same. superseded: the attempt was stale, nothing was done."""

    DONE = "done"
    PARTIAL = "partial"
    STOPPED = "stopped"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardWork:
    """What one attempt took of the engine, as the engine counted it. `usage` is of the lines that it answered itself,
    those with errors too.

    `tokens_per_second` are prompt and completion tokens over the attempt's time. `cache_hit_rate` is the share of
    prompt tokens that came from the prefix cache. Seconds: from the claim to the first line admitted (`load_seconds`),
    from the last line admitted to the last result (`drain_seconds`). Of the engine as a whole, whatever else was on it
    meanwhile: `occupancy`, running sequences over those it can run, and `queued_seconds`, how long a request of those
    that ended waited in its queue; None where it doesn't say. `lengths`: how long its answers were (core/lengths.py).
    """

    usage: Usage = Usage()
    tokens_per_second: float = 0.0
    cache_hit_rate: float = 0.0
    load_seconds: float = 0.0
    drain_seconds: float = 0.0
    occupancy: float | None = None
    queued_seconds: float | None = None
    lengths: Lengths = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardReport:
    """How an attempt ended. `resumed_lines` were finished by earlier attempts; `seconds` is how long this one took,
    `instance_seconds` how much of the instance was its own meanwhile (worker/share.py); None of an older worker.
    `probed`: every line of the order's probe has its result, though others have none."""

    batch_id: str
    account_id: str
    run: int
    number: int
    attempt: int
    outcome: Outcome
    counts: Counts = Counts()
    usage: Usage = Usage()
    output: ResultObject | None = None
    errors: ResultObject | None = None
    resumed_lines: int = 0
    seconds: float = 0.0
    instance_seconds: float | None = None
    work: ShardWork = ShardWork()
    probed: bool = False
