"""The worlds the contract suite runs in: the ports, and ways to see what left through them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from offpeak.core.batch import Batch
from offpeak.core.delivery import AttemptAsk
from offpeak.core.ports import (
    Accounts,
    Announcements,
    Audit,
    Batches,
    Bounds,
    Callbacks,
    Capacity,
    Changes,
    Clock,
    Deliveries,
    Destinations,
    Dispatches,
    Endpoints,
    Files,
    Gatherings,
    GroupChecks,
    Groups,
    Idempotency,
    KeyHashes,
    Ledger,
    Metrics,
    Multipart,
    Pools,
    Presigner,
    Reader,
    RequestQueue,
    Requests,
    Runs,
    Secrets,
    Shards,
    Throttles,
    Tokenizers,
    Webhooks,
    Workflows,
    Writer,
)
from offpeak.memory.memory import Memory


class Ports(Protocol):
    @property
    def clock(self) -> Clock: ...
    @property
    def reader(self) -> Reader: ...
    @property
    def writer(self) -> Writer: ...
    @property
    def multipart(self) -> Multipart: ...
    @property
    def presigner(self) -> Presigner: ...
    @property
    def changes(self) -> Changes: ...
    @property
    def accounts(self) -> Accounts: ...
    @property
    def files(self) -> Files: ...
    @property
    def batches(self) -> Batches: ...
    @property
    def runs(self) -> Runs: ...
    @property
    def shards(self) -> Shards: ...
    @property
    def requests(self) -> Requests: ...
    @property
    def groups(self) -> Groups: ...
    @property
    def gatherings(self) -> Gatherings: ...
    @property
    def request_queue(self) -> RequestQueue: ...
    @property
    def group_checks(self) -> GroupChecks: ...
    @property
    def ledger(self) -> Ledger: ...
    @property
    def audit(self) -> Audit: ...
    @property
    def idempotency(self) -> Idempotency: ...
    @property
    def throttles(self) -> Throttles: ...
    @property
    def workflows(self) -> Workflows: ...
    @property
    def dispatches(self) -> Dispatches: ...
    @property
    def endpoints(self) -> Endpoints: ...
    @property
    def capacity(self) -> Capacity: ...
    @property
    def pools(self) -> Pools: ...
    @property
    def announcements(self) -> Announcements: ...
    @property
    def metrics(self) -> Metrics: ...
    @property
    def webhooks(self) -> Webhooks: ...
    @property
    def secrets(self) -> Secrets: ...
    @property
    def key_hashes(self) -> KeyHashes: ...
    @property
    def deliveries(self) -> Deliveries: ...
    @property
    def callbacks(self) -> Callbacks: ...
    @property
    def destinations(self) -> Destinations: ...
    @property
    def tokenizers(self) -> Tokenizers: ...


@dataclass(frozen=True)
class Announced:
    kind: str
    batch_id: str
    account_id: str
    status: str


@dataclass(frozen=True)
class Invoked:
    pool: str
    invocation_id: str
    order: bytes


class World(Protocol):
    @property
    def ports(self) -> Ports: ...
    def input_of(self, execution: str) -> Any:
        """What the execution of this name was started with."""
        ...

    def wait_for_token(self, execution: str) -> str:
        """Starts an execution that waits, and returns the token it waits on."""
        ...

    def answer_to(self, execution: str, token: str) -> Any:
        """What that execution was answered."""
        ...

    def fail(self, execution: str, token: str) -> None:
        """The state that waits on this token fails, and its execution with it."""
        ...

    def asks(self, pools: set[str], count: int) -> list[str]:
        """The first `count` asks for these pools, in order."""
        ...

    def attempts_asked(self, destination_id: str, count: int) -> list[AttemptAsk]:
        """The first `count` asks for attempts at this destination, in no order."""
        ...

    def invoked(self, pool: str) -> list[Invoked]: ...
    def bounded(self, pool: str) -> tuple[Bounds, int, Bounds]:
        """Within what the pool is bound, until when, and then."""
        ...

    def announced(self, batch: Batch) -> Announced: ...
    def measured(self, pool: str) -> Mapping[str, Sequence[float]]:
        """What was published of a pool: values by metric, in ascending order."""
        ...

    def upload(self, url: str, body: bytes) -> str:
        """What a client does with a part's URL; its ETag."""
        ...

    def download(self, url: str) -> bytes: ...


class MemoryWorld:
    def __init__(self, directory: Path | None = None) -> None:
        self.memory = Memory(directory=directory)

    @property
    def ports(self) -> Ports:
        return self.memory

    def input_of(self, execution: str) -> Any:
        return self.memory.workflows.started[execution]

    def wait_for_token(self, execution: str) -> str:
        self.memory.workflows.start(execution, {})
        return f"token of {execution}"

    def answer_to(self, execution: str, token: str) -> Any:
        return self.memory.workflows.answers[token]

    def fail(self, execution: str, token: str) -> None:
        self.memory.workflows.failures[execution] = self.memory.clock.now()

    def asks(self, pools: set[str], count: int) -> list[str]:
        return [pool for pool in self.memory.dispatches.asks if pool in pools][:count]

    def attempts_asked(self, destination_id: str, count: int) -> list[AttemptAsk]:
        asks = [ask for ask, _ in self.memory.callbacks.asks]
        return [ask for ask in asks if ask.destination_id == destination_id][:count]

    def invoked(self, pool: str) -> list[Invoked]:
        return [
            Invoked(seen.pool, seen.invocation_id, seen.order)
            for seen in self.memory.endpoints.invocations
            if seen.pool == pool
        ]

    def bounded(self, pool: str) -> tuple[Bounds, int, Bounds]:
        found = self.memory.capacity.bounded[pool]
        return found.bounds, found.until, found.then

    def announced(self, batch: Batch) -> Announced:
        ((kind, seen),) = [
            pair for pair in self.memory.announcements.announced if pair[1].id == batch.id
        ]
        return Announced(kind, seen.id, seen.account_id, seen.status)

    def measured(self, pool: str) -> Mapping[str, Sequence[float]]:
        values: dict[str, list[float]] = defaultdict(list)
        for measure in self.memory.metrics.published:
            for name, value in measure.values.items():
                if measure.pool == pool:
                    values[name].append(value)
        return {name: sorted(found) for name, found in values.items()}

    def upload(self, url: str, body: bytes) -> str:
        return self.memory.presigner.put(url, body)

    def download(self, url: str) -> bytes:
        return self.memory.presigner.get(url)
