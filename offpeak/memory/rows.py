"""The state tables in memory: rows under their keys, changed in one way only."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, islice
from operator import itemgetter
from threading import RLock
from typing import TypeVar

from offpeak.core.account import Account, ApiKey
from offpeak.core.audit import AuditEntry
from offpeak.core.batch import Batch
from offpeak.core.delivery import Delivery
from offpeak.core.enqueued import Enqueued
from offpeak.core.errors import NotFound, StateConflict
from offpeak.core.file import File, Upload
from offpeak.core.gathering import Gathering
from offpeak.core.group import Group
from offpeak.core.ledger import Balance, Entry
from offpeak.core.pool import ModelPools
from offpeak.core.ports import CHANGES_MAX, Add, Claim, Clock, Page, Row, Save, is_removal
from offpeak.core.queued_run import QueuedRun, queued
from offpeak.core.request import Request
from offpeak.core.run import Run, Tier
from offpeak.core.shard import Shard
from offpeak.core.webhook import CallbackSecret, Webhook

T = TypeVar("T")
Key = tuple[str | int, ...]


@dataclass
class Tables:
    """What the state ports below share: every row under its kind and key."""

    lock: RLock
    rows: dict[type[object], dict[Key, Row]] = field(default_factory=dict)

    def find(self, kind: type[T], *key: str | int) -> T:
        with self.lock:
            row = self.rows.get(kind, {}).get(key)
        if not isinstance(row, kind):
            name = kind.__name__.lower()
            raise NotFound(f"There is no {name} {'.'.join(map(str, key[-2:]))}.")
        return row

    def select(self, kind: type[T], wanted: Callable[[T], bool]) -> list[T]:
        """In the order of their keys."""
        with self.lock:
            found = [
                (key, row)
                for key, row in self.rows.get(kind, {}).items()
                if isinstance(row, kind) and wanted(row)
            ]
        return [row for _, row in sorted(found, key=itemgetter(0))]


def _key(row: Row) -> Key:  # noqa: PLR0911 - one a kind
    match row:
        case Account() | Request() | ModelPools() | AuditEntry():
            return (row.id,)
        case ApiKey():
            return (row.hash,)
        case Gathering():
            return (row.lane.id, row.id)
        case File() | Upload() | Batch() | Group() | Webhook() | Balance() | Entry() | Enqueued():
            return (row.account_id, row.id)
        case CallbackSecret():
            return (row.account_id,)
        case Delivery():
            return (row.destination_id, row.id)
        case Run():
            return (row.batch_id, row.number)
        case Shard():
            return (row.batch_id, row.run, row.number)


class MemoryChanges:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def commit(self, *changes: Add | Save) -> None:
        keys = {(type(change.row), _key(change.row)) for change in changes}
        if len(keys) != len(changes) or not 0 < len(changes) <= CHANGES_MAX:
            raise ValueError(f"A commit takes 1 to {CHANGES_MAX} changes, each of another row.")
        with self._tables.lock:
            for change in changes:
                self._check(change)
            for change in changes:
                self._apply(change.row)

    def _check(self, change: Add | Save) -> None:
        row = change.row
        stored = self._tables.rows.get(type(row), {}).get(_key(row))
        fits = stored is None if isinstance(change, Add) else _version(stored) == row.version
        if not fits:
            raise StateConflict(
                f"{type(row).__name__} {row.id} was changed by somebody else meanwhile.",
                code="write_conflict",
            )

    def _apply(self, row: Row) -> None:
        rows = self._tables.rows.setdefault(type(row), {})
        if is_removal(row):
            rows.pop(_key(row), None)
        else:
            rows[_key(row)] = replace(row, version=row.version + 1)


def _version(row: Row | None) -> int | None:
    return None if row is None else row.version


class MemoryAccounts:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, account_id: str) -> Account:
        return self._tables.find(Account, account_id)

    def list(self) -> Sequence[Account]:
        return self._tables.select(Account, lambda _: True)

    def key(self, key_hash: str) -> ApiKey:
        return self._tables.find(ApiKey, key_hash)

    def keys(self, account_id: str) -> Sequence[ApiKey]:
        found = self._tables.select(ApiKey, lambda key: key.account_id == account_id)
        return sorted(found, key=lambda key: key.id)


class MemoryFiles:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, account_id: str, file_id: str) -> File:
        return self._tables.find(File, account_id, file_id)

    def list(
        self,
        account_id: str,
        *,
        limit: int,
        after: str | None,
        purpose: str | None,
        ascending: bool,
    ) -> Page[File]:
        found = self._tables.select(
            File, lambda file: file.account_id == account_id and purpose in (None, file.purpose)
        )
        return page_of(found, limit=limit, after=after, ascending=ascending)

    def expired(self, now: int) -> Iterator[File]:
        found = [
            (file.expires_at, file)
            for file in self._tables.select(File, lambda _: True)
            if file.expires_at is not None and file.expires_at <= now
        ]
        yield from (file for _, file in sorted(found, key=itemgetter(0)))

    def upload(self, account_id: str, upload_id: str) -> Upload:
        return self._tables.find(Upload, account_id, upload_id)


class MemoryBatches:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, account_id: str, batch_id: str) -> Batch:
        return self._tables.find(Batch, account_id, batch_id)

    def list(self, account_id: str, *, limit: int, after: str | None) -> Page[Batch]:
        found = self._tables.select(Batch, lambda batch: batch.account_id == account_id)
        return page_of(found, limit=limit, after=after, ascending=False)

    def open(self) -> Iterator[Batch]:
        yield from self._tables.select(Batch, lambda batch: not batch.is_terminal)

    def open_of(self, account_id: str) -> Iterator[Batch]:
        yield from (batch for batch in self.open() if batch.account_id == account_id)

    def open_count(self, account_id: str) -> int:
        return sum(1 for _ in self.open_of(account_id))


class MemoryRuns:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, batch_id: str, number: int) -> Run:
        return self._tables.find(Run, batch_id, number)

    def glance(self, batch_id: str, number: int) -> Run:
        return self.get(batch_id, number)

    def of_batch(self, batch_id: str) -> Sequence[Run]:
        return self._tables.select(Run, lambda run: run.batch_id == batch_id)

    def queued(
        self, pool: str, *, express: bool = False, each: int | None = None
    ) -> Sequence[QueuedRun]:
        ready = self._tables.select(Run, lambda run: run.pool == pool and run.has_more)
        found = [queued(run) for run in ready if (run.tier is Tier.EXPRESS) == express]
        by_account = groupby(
            sorted(found, key=lambda run: (run.account_id, run.urgency)),
            key=lambda run: run.account_id,
        )
        return [run for _, runs in by_account for run in islice(runs, each)]


class MemoryShards:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, batch_id: str, run: int, number: int) -> Shard:
        return self._tables.find(Shard, batch_id, run, number)

    def of_run(self, batch_id: str, run: int, first: int = 0) -> Iterator[Shard]:
        yield from self._tables.select(
            Shard,
            lambda shard: (shard.batch_id, shard.run) == (batch_id, run) and shard.number >= first,
        )

    def open(self, pool: str, batch_id: str | None = None) -> Sequence[Shard]:
        return self._tables.select(
            Shard,
            lambda shard: (
                shard.is_open and shard.pool == pool and batch_id in (None, shard.batch_id)
            ),
        )


class MemoryPools:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, pool: str) -> ModelPools:
        return self._tables.find(ModelPools, pool)

    def glance(self, pool: str) -> ModelPools:
        return self.get(pool)


class MemoryIdempotency:
    def __init__(self, lock: RLock, clock: Clock) -> None:
        self._lock = lock
        self._clock = clock
        self._claims: dict[tuple[str, str], tuple[Claim, int]] = {}

    def claim(self, scope: str, key: str, claim: Claim, expires_at: int) -> Claim:
        with self._lock:
            earlier = self._claims.get((scope, key))
            if earlier is not None and self._clock.now() < earlier[1]:
                return earlier[0]
            self._claims[scope, key] = (claim, expires_at)
        return claim


RowWithId = TypeVar("RowWithId", File, Batch, Delivery)


def page_of(
    rows: list[RowWithId], *, limit: int, after: str | None, ascending: bool
) -> Page[RowWithId]:
    """`rows` come in the order of their ids."""
    ordered = rows if ascending else rows[::-1]
    rest = (
        row for row in ordered if after is None or (row.id > after if ascending else row.id < after)
    )
    found = tuple(islice(rest, limit + 1))
    return Page(rows=found[:limit], has_more=len(found) > limit)
