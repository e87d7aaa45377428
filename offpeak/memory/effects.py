"""What would leave for Step Functions, SQS, SageMaker, EventBridge and CloudWatch, written down instead."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from threading import RLock
from typing import Any

from offpeak.core.batch import Batch
from offpeak.core.completion import Completion
from offpeak.core.errors import NotFound, TooLarge
from offpeak.core.invocation import ShardWork
from offpeak.core.ports import (
    ORDER_BYTES_MAX,
    PAYLOAD_BYTES_MAX,
    QUEUE_DELAY_SECONDS_MAX,
    Bounds,
    InstanceCounts,
    PoolMeasure,
)


class MemoryWorkflows:
    """`started` holds each execution's input by its name, `answers` each task token's first answer; `failures` when
    an execution failed for good, by its name."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self.started: dict[str, Any] = {}
        self.answers: dict[str, Any] = {}
        self.failures: dict[str, float] = {}

    def start(self, name: str, payload: Mapping[str, Any]) -> None:
        with self._lock:
            self.started.setdefault(name, _as_json(payload))

    def failed(self, *, ended_after: float, ended_before: float) -> Iterator[str]:
        with self._lock:
            found = [n for n, at in self.failures.items() if ended_after < at < ended_before]
        yield from found

    def redrive(self, name: str, *, ended_before: float) -> bool:
        with self._lock:
            if self.failures.get(name, ended_before) >= ended_before:
                return False
            del self.failures[name]
            return True

    def answer(self, task_token: str, output: Mapping[str, Any]) -> None:
        with self._lock:
            self.answers.setdefault(task_token, _as_json(output))


def _as_json(payload: Mapping[str, Any]) -> Any:
    """What the other side would read. Raises TypeError for what is no JSON, TooLarge for too much of it."""
    text = json.dumps(payload)
    if len(text.encode()) > PAYLOAD_BYTES_MAX:
        raise TooLarge(f"A state's payload has at most {PAYLOAD_BYTES_MAX} bytes.")
    return json.loads(text)


class MemoryDispatches:
    """`asks` are the pools that were asked for, in order."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self.asks: list[str] = []

    def ask(self, pool: str) -> None:
        with self._lock:
            self.asks.append(pool)


class MemoryDrops:
    """`put_backs` are the keys that were put back, in order."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self.put_backs: list[str] = []

    def put_back(self, key: str) -> None:
        with self._lock:
            self.put_backs.append(key)


@dataclass(frozen=True, slots=True)
class Invocation:
    pool: str
    invocation_id: str
    order: bytes


class MemoryEndpoints:
    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self.invocations: list[Invocation] = []

    def invoke(self, pool: str, invocation_id: str, order: bytes) -> None:
        if len(order) > ORDER_BYTES_MAX:
            raise TooLarge(f"An order has at most {ORDER_BYTES_MAX} bytes, not {len(order)}.")
        with self._lock:
            self.invocations.append(Invocation(pool, invocation_id, order))


class MemoryAnnouncements:
    """`announced` are the kinds and batches that ended, in order; `begun` those whose lines run."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self.announced: list[tuple[str, Batch]] = []
        self.begun: list[tuple[Batch, Completion | None]] = []

    def announce(self, kind: str, batch: Batch, completion: Completion | None = None) -> None:
        with self._lock:
            if kind == "batch.in_progress":
                self.begun.append((batch, completion))
            else:
                self.announced.append((kind, batch))


class MemoryWorkMetrics:
    def __init__(self) -> None:
        self.published: list[tuple[str, int, ShardWork]] = []
        self.signals: list[tuple[str, Mapping[str, float]]] = []
        self.estimates: list[tuple[str, Mapping[str, float]]] = []
        self.at_risk: list[tuple[str, int, int]] = []
        self.unshared_throttles: list[int] = []

    def publish_unshared_throttles(self, measured_at: int) -> None:
        self.unshared_throttles.append(measured_at)

    def publish_work(self, pool: str, measured_at: int, work: ShardWork) -> None:
        self.published.append((pool, measured_at, work))

    def publish_estimates(self, pool: str, measured_at: int, errors: Mapping[str, float]) -> None:  # noqa: ARG002 - likewise
        self.estimates.append((pool, errors))

    def publish_signal(self, region: str, measured_at: int, values: Mapping[str, float]) -> None:  # noqa: ARG002 - the clock stands still
        self.signals.append((region, values))

    def publish_at_risk(self, pool: str, measured_at: int, batches: int) -> None:
        self.at_risk.append((pool, measured_at, batches))


class MemoryMetrics:
    """`published` are the measures, in order."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self.published: list[PoolMeasure] = []
        self.plan_ages: list[int] = []

    def publish(self, *measures: PoolMeasure) -> None:
        with self._lock:
            self.published.extend(measures)

    def publish_plan_age(self, seconds: int, measured_at: int) -> None:  # noqa: ARG002
        with self._lock:
            self.plan_ages.append(seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounded:
    """Within `bounds` until `until`, then within `then`."""

    bounds: Bounds
    until: int
    then: Bounds


class MemoryCapacity:
    """`bounded` is each pool's last word; instances are in service as soon as they are ordered. `missing` are pools
    without an endpoint."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self.running: dict[str, int] = {}
        self.bounded: dict[str, Bounded] = {}
        self.missing: set[str] = set()

    def counts(self, pool: str) -> InstanceCounts:
        with self._lock:
            self._check(pool)
            running = self.running.get(pool, 0)
        return InstanceCounts(running=running, ordered=running)

    def bound(self, pool: str, bounds: Bounds, *, until: int, then: Bounds) -> None:
        with self._lock:
            self._check(pool)
            self.bounded[pool] = Bounded(bounds=bounds, until=until, then=then)
            running = self.running.get(pool, 0)
            self.running[pool] = min(max(running, bounds.least), bounds.most)

    def _check(self, pool: str) -> None:
        if pool in self.missing:
            raise NotFound(f"There is no endpoint of pool {pool}.")


class MemoryRequestQueue:
    """`records` are what was sent, in order, each with its delay in seconds."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self.records: list[tuple[str, int]] = []

    def send(self, record: str, delay_seconds: int = 0) -> None:
        if not 0 <= delay_seconds <= QUEUE_DELAY_SECONDS_MAX:
            raise ValueError(f"A record waits at most {QUEUE_DELAY_SECONDS_MAX} s.")
        with self._lock:
            self.records.append((record, delay_seconds))


class MemoryGroupChecks:
    """`asks` are account and group, in order."""

    def __init__(self, lock: RLock) -> None:
        self._lock = lock
        self.asks: list[tuple[str, str]] = []

    def ask(self, account_id: str, group_id: str) -> None:
        with self._lock:
            self.asks.append((account_id, group_id))
