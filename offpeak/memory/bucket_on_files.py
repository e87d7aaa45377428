"""A bucket in a directory, held to S3's rules for parts: for inputs that don't fit into memory, and for several
processes at once.

    objects/+work/+batch_1/=output.jsonl    an object's entry, JSON: its blob, size, ETag, …; replaced at once
    blobs/4f0c….                            its bytes, a plain file that never changes
    multipart/{id}/upload, 00007            an upload that is not complete, and its parts' entries

Names between the slashes of a key have at most 254 bytes, quoted. A copied part is a link to its source's blob, and the
kernel copies it when the upload is completed: its bytes never pass through the process, so its ETag is no MD5 of them.
A process that dies while it completes an upload has lost it: parts go as they are copied, or disks would hold both.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote
from uuid import uuid4

import msgspec

from offpeak.core.errors import NotFound, StateConflict, Unavailable
from offpeak.core.ports import ObjectInfo

CHUNK_BYTES = 1024**2
_COPY_BYTES = 2**30
_READS_MAX = 100


class Stored(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes [start, stop) of a blob under an ETag: an object, or a part of one."""

    blob: str
    start: int = 0
    stop: int
    etag: str
    content_type: str
    metadata: dict[str, str] = {}

    @property
    def bytes(self) -> int:
        return self.stop - self.start


STORED = msgspec.json.Decoder(Stored)


class BucketOnFiles:
    """What the object ports below share, and processes that are given the same directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for name in ("objects", "blobs", "multipart"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    @property
    def uploads(self) -> Path:
        return self._directory / "multipart"

    def find(self, key: str, etag: str | None = None) -> Stored:
        try:
            stored = STORED.decode(self.entry(key).read_bytes())
        except FileNotFoundError:
            raise NotFound(f"There is no object {key}.") from None
        if etag is not None and stored.etag != etag:
            raise StateConflict(f"Object {key} was replaced by another.", code="object_replaced")
        return stored

    def open(self, key: str, etag: str | None = None) -> tuple[Stored, BinaryIO]:
        """The object as it is now, whatever becomes of its key afterwards."""
        for stored in self._found(key, etag):
            with suppress(FileNotFoundError):
                return stored, self.blob(stored.blob).open("rb", buffering=0)
        raise self._restless(key)

    def link(self, key: str) -> tuple[Stored, str]:
        """The object as it is now, and another name of its blob."""
        name = uuid4().hex
        for stored in self._found(key):
            with suppress(FileNotFoundError):
                self.blob(name).hardlink_to(self.blob(stored.blob))
                return stored, name
        raise self._restless(key)

    def _found(self, key: str, etag: str | None = None) -> Iterator[Stored]:
        """Again and again: the object may be replaced, its blob gone, between a read of its entry and the next call."""
        for _ in range(_READS_MAX):
            yield self.find(key, etag)

    @staticmethod
    def _restless(key: str) -> Unavailable:
        return Unavailable(f"Object {key} was replaced {_READS_MAX} times while it was opened.")

    def path_of(self, key: str) -> Path:
        """The plain file of an object's bytes, for programs that know nothing of buckets."""
        return self.blob(self.find(key).blob)

    def store(self, key: str, stored: Stored) -> ObjectInfo:
        with self._locked():
            self._drop_blob(key)
            replace_file(self.entry(key), stored)
        return info_of(key, stored)

    def store_over(self, key: str, stored: Stored, etag: str | None) -> ObjectInfo:
        with self._locked():
            try:
                found = self.find(key).etag
            except NotFound:
                found = None
            if found != etag:
                self.blob(stored.blob).unlink()
                raise StateConflict(
                    f"Object {key} was changed by somebody else meanwhile.", code="write_conflict"
                )
            self._drop_blob(key)
            replace_file(self.entry(key), stored)
        return info_of(key, stored)

    def delete(self, key: str) -> None:
        with self._locked():
            self._drop_blob(key)
            self.entry(key).unlink(missing_ok=True)

    def new_blob(
        self, body: bytes, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> Stored:
        name = uuid4().hex
        self.blob(name).write_bytes(body)
        return Stored(
            blob=name, stop=len(body), etag=md5(body), content_type=content_type,
            metadata=dict(metadata or {}),
        )  # fmt: skip

    def entry(self, key: str) -> Path:
        *folders, name = (quote(part, safe="") for part in key.split("/"))
        return Path(self._directory, "objects", *(f"+{folder}" for folder in folders), f"={name}")

    def blob(self, name: str) -> Path:
        return self._directory / "blobs" / name

    def _drop_blob(self, key: str) -> None:
        with suppress(NotFound):
            self.blob(self.find(key).blob).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone among all threads and processes."""
        with (self._directory / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def replace_file(path: Path, value: msgspec.Struct) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"~{uuid4().hex}")
    written.write_bytes(msgspec.json.encode(value))
    written.replace(path)


def info_of(key: str, stored: Stored) -> ObjectInfo:
    return ObjectInfo(key=key, bytes=stored.bytes, etag=stored.etag, metadata=stored.metadata)


def md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
