"""Time, and objects (S3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""
        ...


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """`metadata` is what its producer said of it (S3's user metadata, names in lower case); only `head` knows it."""

    key: str
    bytes: int
    etag: str
    metadata: Mapping[str, str] = field(default_factory=dict, compare=False)


class Reader(Protocol):
    """Reads objects. A key that is not there raises NotFound. Byte ranges are [start, stop); stop=None is the end.

    With an `etag`, other bytes than those raise StateConflict (code `object_replaced`).
    """

    def head(self, key: str) -> ObjectInfo: ...
    def read(
        self, key: str, start: int = 0, stop: int | None = None, *, etag: str | None = None
    ) -> bytes: ...
    def stream(
        self, key: str, start: int = 0, stop: int | None = None, *, etag: str | None = None
    ) -> Iterator[bytes]:
        """Chunks of about 1 MiB, memory flat."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """In the order of their keys."""
        ...


class Writer(Protocol):
    def put(
        self, key: str, body: bytes, content_type: str = "application/octet-stream"
    ) -> ObjectInfo: ...
    def put_over(
        self,
        key: str,
        body: bytes,
        etag: str | None,
        content_type: str = "application/octet-stream",
    ) -> ObjectInfo:
        """In place of the object with this ETag; with None, where there is no object. Otherwise raises StateConflict
        (code `write_conflict`)."""
        ...

    def delete(self, key: str) -> None:
        """Deleting what is not there is no error."""
        ...


PART_BYTES_MIN = 5 * 1024**2
PART_BYTES_MAX = 5 * 1024**3
PARTS_MAX = 10_000


class Multipart(Protocol):
    """Large objects out of parts of 5 MiB–5 GiB (the last may be smaller), at most 10,000, numbered from 1. Whatever is
    asked of an upload that was completed or aborted raises MultipartGone, but to abort it again."""

    def begin(self, key: str, content_type: str = "application/octet-stream") -> str: ...
    def put_part(self, key: str, multipart_id: str, number: int, body: bytes) -> str: ...
    def copy_part(
        self, key: str, multipart_id: str, number: int, source: str, start: int, stop: int
    ) -> str:
        """Bytes [start, stop) of `source` as a part, without passing through us. Returns the part's ETag."""
        ...

    def complete(self, key: str, multipart_id: str, etags: Mapping[int, str]) -> ObjectInfo:
        """Raises InvalidRequest when S3 refuses the parts, MultipartGone."""
        ...

    def abort(self, key: str, multipart_id: str) -> None: ...


class Presigner(Protocol):
    def upload_url(self, key: str, seconds: int) -> str:
        """Takes a PUT of the whole object, at most 5 GiB, with no header that must be sent."""
        ...

    def download_url(self, key: str, seconds: int, filename: str) -> str: ...
    def part_url(self, key: str, multipart_id: str, number: int, seconds: int) -> str: ...
