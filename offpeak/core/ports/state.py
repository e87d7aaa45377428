"""State (DynamoDB): rows by their ids, by index, and the one way to change them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from offpeak.core.account import Account, ApiKey
from offpeak.core.audit import AuditEntry
from offpeak.core.batch import Batch
from offpeak.core.delivery import Delivery
from offpeak.core.enqueued import Enqueued
from offpeak.core.file import File, FileStatus, Upload
from offpeak.core.gathering import Gathering
from offpeak.core.group import Group
from offpeak.core.ledger import Balance, Entry
from offpeak.core.pool import ModelPools
from offpeak.core.queued_run import QueuedRun
from offpeak.core.request import Request
from offpeak.core.run import Run
from offpeak.core.shard import Shard
from offpeak.core.webhook import CallbackSecret, Webhook

T = TypeVar("T")

Row = (
    Account
    | ApiKey
    | File
    | Upload
    | Batch
    | Run
    | Shard
    | Request
    | Group
    | Gathering
    | Webhook
    | CallbackSecret
    | Delivery
    | Balance
    | Entry
    | Enqueued
    | ModelPools
    | AuditEntry
)


def is_removal(row: Row) -> bool:
    """Whether to save it leaves no row behind: `get` finds nothing, and nothing piles up."""
    match row:
        case File():
            return row.status is FileStatus.DELETED
        case Webhook():
            return row.is_deleted
        case _:
            return False


@dataclass(frozen=True, slots=True)
class Add:
    """A new row; conflicts when its key exists."""

    row: Row


@dataclass(frozen=True, slots=True)
class Save:
    """An existing row's new value; conflicts unless the stored version is `row.version`."""

    row: Row


CHANGES_MAX = 100


class Changes(Protocol):
    def commit(self, *changes: Add | Save) -> None:
        """All of them or none (at most 100, each of another row). Each is stored with its version one higher; a file
        or a webhook that is saved as deleted is gone, row and all.

        Raises StateConflict (code `write_conflict`) when any condition fails.
        """
        ...


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    rows: tuple[T, ...]
    has_more: bool


class Accounts(Protocol):
    def get(self, account_id: str) -> Account: ...
    def list(self) -> Sequence[Account]: ...
    def key(self, key_hash: str) -> ApiKey: ...
    def keys(self, account_id: str) -> Sequence[ApiKey]: ...


class Files(Protocol):
    """A missing or foreign id raises NotFound, as in every port below."""

    def get(self, account_id: str, file_id: str) -> File: ...
    def list(
        self,
        account_id: str,
        *,
        limit: int,
        after: str | None,
        purpose: str | None,
        ascending: bool,
    ) -> Page[File]:
        """Not deleted ones, newest first unless `ascending`. `after` is the id the last page ended with."""
        ...

    def expired(self, now: int) -> Iterator[File]:
        """Files of all accounts past their `expires_at`, the longest first. May lag behind by a moment."""
        ...

    def upload(self, account_id: str, upload_id: str) -> Upload: ...


class Batches(Protocol):
    def get(self, account_id: str, batch_id: str) -> Batch: ...
    def list(self, account_id: str, *, limit: int, after: str | None) -> Page[Batch]: ...
    def open(self) -> Iterator[Batch]:
        """Every batch that has not ended, of all accounts. May lag behind by a moment."""
        ...

    def open_of(self, account_id: str) -> Iterator[Batch]:
        """This account's batches that have not ended. May lag behind by a moment."""
        ...

    def open_count(self, account_id: str) -> int:
        """How many of this account's batches have not ended. May lag behind by a moment."""
        ...


class Runs(Protocol):
    def get(self, batch_id: str, number: int) -> Run: ...
    def glance(self, batch_id: str, number: int) -> Run:
        """As it is, or was a moment ago, at half the price: for those who look again soon."""
        ...

    def of_batch(self, batch_id: str) -> Sequence[Run]:
        """Strongly consistent."""
        ...

    def queued(
        self, pool: str, *, express: bool = False, each: int | None = None
    ) -> Sequence[QueuedRun]:
        """Runs of this pool that have shards never dispatched: those of the tier `express`, or all others.

        Account by account, the most urgent first; of each account the first `each`, or all. Reads in proportion to
        what it returns and to the accounts, not to the runs behind. May lag behind.
        """
        ...


class Shards(Protocol):
    def get(self, batch_id: str, run: int, number: int) -> Shard: ...
    def of_run(self, batch_id: str, run: int, first: int = 0) -> Iterator[Shard]:
        """Its rows from number `first` on, in the order of their numbers. Strongly consistent."""
        ...

    def open(self, pool: str, batch_id: str | None = None) -> Sequence[Shard]:
        """Open shards of a pool, or of one batch in it. May lag behind."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An `Idempotency-Key` somebody used: what the request was, and the id reserved for what it makes."""

    resource_id: str
    fingerprint: str


class Idempotency(Protocol):
    def claim(self, scope: str, key: str, claim: Claim, expires_at: int) -> Claim:
        """The claim stored under this key: `claim` itself the first time, the earlier one afterwards."""
        ...
