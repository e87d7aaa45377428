"""What the steps and the worker need of the world: synchronous, narrow, with an in-memory and an AWS adapter each.

Every port call may raise Unavailable (the effect may or may not have happened); further errors are named.
State is changed in one way only: `Changes.commit`, all or nothing, each save conditional on the version that was read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from offpeak.core.account import Account, ApiKey
from offpeak.core.batch import Batch
from offpeak.core.file import File, Upload
from offpeak.core.run import Run
from offpeak.core.shard import Shard

T = TypeVar("T")

# ── time ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""
        ...


# ── objects (S3) ─────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    key: str
    bytes: int
    etag: str


class Reader(Protocol):
    """Reads objects. A key that is not there raises NotFound. Byte ranges are [start, stop); stop=None is the end."""

    def head(self, key: str) -> ObjectInfo: ...
    def read(self, key: str, start: int = 0, stop: int | None = None) -> bytes: ...
    def stream(self, key: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """Chunks of about 1 MiB, memory flat."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """In the order of their keys."""
        ...


class Writer(Protocol):
    def put(
        self, key: str, body: bytes, content_type: str = "application/octet-stream"
    ) -> ObjectInfo: ...
    def delete(self, key: str) -> None:
        """Deleting what is not there is no error."""
        ...


PART_BYTES_MIN = 5 * 1024**2
PART_BYTES_MAX = 5 * 1024**3
PARTS_MAX = 10_000


class Multipart(Protocol):
    """Large objects out of parts of 5 MiB–5 GiB (the last may be smaller), at most 10,000, numbered from 1."""

    def begin(self, key: str, content_type: str = "application/octet-stream") -> str: ...
    def put_part(self, key: str, multipart_id: str, number: int, body: bytes) -> str: ...
    def copy_part(
        self, key: str, multipart_id: str, number: int, source: str, start: int, stop: int
    ) -> str:
        """Bytes [start, stop) of `source` as a part, without passing through us. Returns the part's ETag."""
        ...

    def complete(self, key: str, multipart_id: str, etags: Mapping[int, str]) -> ObjectInfo:
        """Raises InvalidRequest when S3 refuses the parts, NotFound when the multipart upload is gone."""
        ...

    def abort(self, key: str, multipart_id: str) -> None: ...


class Presigner(Protocol):
    def download_url(self, key: str, seconds: int, filename: str) -> str: ...
    def part_url(self, key: str, multipart_id: str, number: int, seconds: int) -> str: ...


# ── state (DynamoDB) ─────────────────────────────────────────────────────────────────────────────────────────────────

Row = Account | ApiKey | File | Upload | Batch | Run | Shard


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
        that is saved as `deleted` is gone, row and all.

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

    def open_count(self, account_id: str) -> int:
        """How many of this account's batches have not ended. May lag behind by a moment."""
        ...


class Runs(Protocol):
    def get(self, batch_id: str, number: int) -> Run: ...
    def of_batch(self, batch_id: str) -> Sequence[Run]:
        """Strongly consistent."""
        ...

    def ready(self, pool: str) -> Sequence[Run]:
        """Runs of this pool that have shards never dispatched, earliest deadline first. May lag behind."""
        ...


class Shards(Protocol):
    def get(self, batch_id: str, run: int, number: int) -> Shard: ...
    def of_run(self, batch_id: str, run: int) -> Iterator[Shard]:
        """All its rows, in the order of their numbers. Strongly consistent."""
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


# ── effects (Step Functions, SQS, SageMaker, EventBridge) ─────────────────────────────────────────────────────────────


PAYLOAD_BYTES_MAX = 262_144
"""What a Step Functions state may hold, as JSON."""


class Workflows(Protocol):
    def start(self, name: str, payload: Mapping[str, Any]) -> None:
        """Starts `process_batch` once per name: a second start of the same name does nothing."""
        ...

    def answer(self, task_token: str, output: Mapping[str, Any]) -> None:
        """Answers a waiting state. One that was answered or has timed out counts as answered."""
        ...


class Dispatches(Protocol):
    def ask(self, pool: str) -> None:
        """Somebody should dispatch to this pool soon. Asking twice does no harm."""
        ...


ORDER_BYTES_MAX = 128_000
"""What InvokeEndpointAsync takes inline."""


class Endpoints(Protocol):
    def invoke(self, pool: str, invocation_id: str, order: bytes) -> None:
        """Hands `order` (at most 128,000 bytes) to the pool's async endpoint. May be lost or doubled on its way.

        Raises TooLarge for a longer one.
        """
        ...


class Announcements(Protocol):
    def announce(self, kind: str, batch: Batch) -> None:
        """Tells the outside that a batch ended (`batch.completed`, `batch.failed`, …). At least once."""
        ...
