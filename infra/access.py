"""What one process may touch: a value, of which `infra/rights.py` makes its policy and its environment."""

from __future__ import annotations

from dataclasses import dataclass

from infra.storage import TABLES

PROCESS_BATCH = "process-batch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one process may touch: tables by name, objects by key prefix. In the drop folder that is, by suffix, what
    is named as ours: nobody may write or delete a producer's object. `updates` are tables whose rows are moved without
    being read (docs/decisions/0009); who `looks_by_time` also reads the indexes by time of those that it reads. Who
    `knows_keys` reads the pepper that API keys are hashed with."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    updates: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    looks_by_time: bool = False
    reads_objects: tuple[str, ...] = ()
    writes_objects: tuple[str, ...] = ()
    deletes_objects: tuple[str, ...] = ()
    writes_beside_drops: bool = False
    clears_beside_drops: bool = False
    puts_back_drops: bool = False
    asks_dispatch: bool = False
    sends_requests: bool = False
    asks_groups: bool = False
    starts_batches: bool = False
    answers_batches: bool = False
    redrives_batches: bool = False
    invokes_endpoints: bool = False
    announces: bool = False
    publishes_metrics: bool = False
    scales_pools: bool = False
    asks_callbacks: bool = False
    signs: bool = False
    knows_keys: bool = False
    calls_out: bool = False
    counts_tokens: bool = False
    fetches_signals: bool = False

    @property
    def tables(self) -> tuple[str, ...]:
        named = {*self.reads, *self.writes, *self.updates, *self.deletes}
        return tuple(name for name in TABLES if name in named)

    @property
    def sends(self) -> bool:
        """Whether it sends to a queue of ours."""
        return (
            self.asks_dispatch
            or self.puts_back_drops
            or self.sends_requests
            or self.asks_groups
            or self.asks_callbacks
        )

    @property
    def touches_objects(self) -> bool:
        beside_drops = self.writes_beside_drops or self.clears_beside_drops
        return bool(
            self.reads_objects or self.writes_objects or self.deletes_objects or beside_drops
        )
