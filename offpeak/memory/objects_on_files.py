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
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote, unquote
from uuid import uuid4

import msgspec

from offpeak.core.errors import InvalidRequest, NotFound, StateConflict, Unavailable
from offpeak.core.ports import PART_BYTES_MAX, PART_BYTES_MIN, PARTS_MAX, ObjectInfo

CHUNK_BYTES = 1024**2
_COPY_BYTES = 2**30
_READS_MAX = 100


class _Stored(msgspec.Struct, frozen=True, kw_only=True):
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


class _Begun(msgspec.Struct, frozen=True):
    key: str
    content_type: str


_STORED = msgspec.json.Decoder(_Stored)
_BEGUN = msgspec.json.Decoder(_Begun)


class BucketOnFiles:
    """What the object ports below share, and processes that are given the same directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        for name in ("objects", "blobs", "multipart"):
            (directory / name).mkdir(parents=True, exist_ok=True)

    @property
    def uploads(self) -> Path:
        return self._directory / "multipart"

    def find(self, key: str, etag: str | None = None) -> _Stored:
        try:
            stored = _STORED.decode(self.entry(key).read_bytes())
        except FileNotFoundError:
            raise NotFound(f"There is no object {key}.") from None
        if etag is not None and stored.etag != etag:
            raise StateConflict(f"Object {key} was replaced by another.", code="object_replaced")
        return stored

    def open(self, key: str, etag: str | None = None) -> tuple[_Stored, BinaryIO]:
        """The object as it is now, whatever becomes of its key afterwards."""
        for stored in self._found(key, etag):
            with suppress(FileNotFoundError):
                return stored, self.blob(stored.blob).open("rb", buffering=0)
        raise self._restless(key)

    def link(self, key: str) -> tuple[_Stored, str]:
        """The object as it is now, and another name of its blob."""
        name = uuid4().hex
        for stored in self._found(key):
            with suppress(FileNotFoundError):
                self.blob(name).hardlink_to(self.blob(stored.blob))
                return stored, name
        raise self._restless(key)

    def _found(self, key: str, etag: str | None = None) -> Iterator[_Stored]:
        """Again and again: the object may be replaced, its blob gone, between a read of its entry and the next call."""
        for _ in range(_READS_MAX):
            yield self.find(key, etag)

    @staticmethod
    def _restless(key: str) -> Unavailable:
        return Unavailable(f"Object {key} was replaced {_READS_MAX} times while it was opened.")

    def path_of(self, key: str) -> Path:
        """The plain file of an object's bytes, for programs that know nothing of buckets."""
        return self.blob(self.find(key).blob)

    def store(self, key: str, stored: _Stored) -> ObjectInfo:
        with self._locked():
            self._drop_blob(key)
            _replace(self.entry(key), stored)
        return _info(key, stored)

    def store_over(self, key: str, stored: _Stored, etag: str | None) -> ObjectInfo:
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
            _replace(self.entry(key), stored)
        return _info(key, stored)

    def delete(self, key: str) -> None:
        with self._locked():
            self._drop_blob(key)
            self.entry(key).unlink(missing_ok=True)

    def new_blob(
        self, body: bytes, content_type: str, metadata: Mapping[str, str] | None = None
    ) -> _Stored:
        name = uuid4().hex
        self.blob(name).write_bytes(body)
        return _Stored(
            blob=name, stop=len(body), etag=_md5(body), content_type=content_type,
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


class FilesReader:
    def __init__(self, bucket: BucketOnFiles) -> None:
        self._bucket = bucket

    def head(self, key: str) -> ObjectInfo:
        return _info(key, self._bucket.find(key))

    def read(
        self, key: str, start: int = 0, stop: int | None = None, *, etag: str | None = None
    ) -> bytes:
        return b"".join(self.stream(key, start, stop, etag=etag))

    def stream(
        self, key: str, start: int = 0, stop: int | None = None, *, etag: str | None = None
    ) -> Iterator[bytes]:
        stored, file = self._bucket.open(key, etag)
        with file:
            end = stored.stop if stop is None else min(stop, stored.stop)
            while start < end:
                chunk = os.pread(file.fileno(), min(CHUNK_BYTES, end - start), start)
                if not chunk:
                    raise OSError(f"{key} ends at byte {start}, not at {stored.stop}.")
                start += len(chunk)
                yield chunk

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        base = prefix[: prefix.rfind("/") + 1]
        for key in _keys(self._bucket.entry(base).parent, base):
            if key.startswith(prefix):
                with suppress(NotFound):  # deleted since
                    yield self.head(key)


class FilesWriter:
    def __init__(self, bucket: BucketOnFiles) -> None:
        self._bucket = bucket

    def put(
        self, key: str, body: bytes, content_type: str = "application/octet-stream"
    ) -> ObjectInfo:
        return self._bucket.store(key, self._bucket.new_blob(body, content_type))

    def put_over(
        self,
        key: str,
        body: bytes,
        etag: str | None,
        content_type: str = "application/octet-stream",
    ) -> ObjectInfo:
        return self._bucket.store_over(key, self._bucket.new_blob(body, content_type), etag)

    def put_with(self, key: str, body: bytes, metadata: Mapping[str, str]) -> ObjectInfo:
        """As a producer puts an object, with metadata of theirs. We never do."""
        stored = self._bucket.new_blob(body, "application/jsonl", metadata)
        return self._bucket.store(key, stored)

    def delete(self, key: str) -> None:
        self._bucket.delete(key)


class FilesMultipart:
    def __init__(self, bucket: BucketOnFiles) -> None:
        self._bucket = bucket
        self.part_bytes_min = PART_BYTES_MIN

    @property
    def open_ids(self) -> tuple[str, ...]:
        """Multipart uploads that were neither completed nor aborted: somebody pays for them."""
        return tuple(each.name for each in self._bucket.uploads.iterdir())

    def begin(self, key: str, content_type: str = "application/octet-stream") -> str:
        multipart_id = uuid4().hex
        _replace(self._bucket.uploads / multipart_id / "upload", _Begun(key, content_type))
        return multipart_id

    def put_part(self, key: str, multipart_id: str, number: int, body: bytes) -> str:
        if len(body) > PART_BYTES_MAX:
            raise InvalidRequest(f"A part has at most {PART_BYTES_MAX} bytes.")
        entry = self._entry(key, multipart_id, number)
        return self._store_part(entry, self._bucket.new_blob(body, ""))

    def copy_part(
        self, key: str, multipart_id: str, number: int, source: str, start: int, stop: int
    ) -> str:
        entry = self._entry(key, multipart_id, number)
        stored, name = self._bucket.link(source)
        if not 0 <= start < stop <= stored.bytes:
            self._bucket.blob(name).unlink()
            raise InvalidRequest(f"{source} has no bytes [{start}, {stop}).")
        etag = _md5(f"{stored.etag} {start} {stop}".encode())
        part = _Stored(blob=name, start=start, stop=stop, etag=etag, content_type="")
        return self._store_part(entry, part)

    def complete(self, key: str, multipart_id: str, etags: Mapping[int, str]) -> ObjectInfo:
        begun = self._find(key, multipart_id)
        parts = self._checked(key, multipart_id, etags)
        name = uuid4().hex
        with self._bucket.blob(name).open("wb") as target:
            for part in parts:
                with self._bucket.blob(part.blob).open("rb") as source:
                    _copy(source.fileno(), part.start, part.stop, target.fileno())
                self._bucket.blob(part.blob).unlink()
        size = sum(part.bytes for part in parts)
        etag = f"{_md5(''.join(part.etag for part in parts).encode())}-{len(parts)}"
        stored = _Stored(blob=name, stop=size, etag=etag, content_type=begun.content_type)
        info = self._bucket.store(key, stored)
        self._remove(multipart_id)
        return info

    def abort(self, key: str, multipart_id: str) -> None:
        with suppress(NotFound):
            self._find(key, multipart_id)
            self._remove(multipart_id)

    def _find(self, key: str, multipart_id: str) -> _Begun:
        try:
            begun = _BEGUN.decode((self._bucket.uploads / multipart_id / "upload").read_bytes())
        except FileNotFoundError:
            begun = None
        if begun is None or begun.key != key:
            raise NotFound(f"There is no multipart upload {multipart_id} of {key}.")
        return begun

    def _entry(self, key: str, multipart_id: str, number: int) -> Path:
        if not 1 <= number <= PARTS_MAX:
            raise InvalidRequest(f"Parts are numbered from 1 to {PARTS_MAX}, not {number}.")
        self._find(key, multipart_id)
        return self._bucket.uploads / multipart_id / f"{number:05}"

    def _store_part(self, entry: Path, part: _Stored) -> str:
        with suppress(FileNotFoundError):
            self._bucket.blob(_STORED.decode(entry.read_bytes()).blob).unlink()
        _replace(entry, part)
        return part.etag

    def _checked(self, key: str, multipart_id: str, etags: Mapping[int, str]) -> list[_Stored]:
        """The named parts in the order of their numbers. Raises InvalidRequest as S3 would."""
        if not etags:
            raise InvalidRequest("A multipart upload needs at least one part.")
        numbers = sorted(etags)
        found: list[_Stored] = []
        for number in numbers:
            entry = self._entry(key, multipart_id, number)
            part = _STORED.decode(entry.read_bytes()) if entry.exists() else None
            if part is None or part.etag != etags[number].strip('"'):
                raise InvalidRequest(f"Part {number} was not uploaded, or its ETag differs.")
            if number != numbers[-1] and part.bytes < self.part_bytes_min:
                raise InvalidRequest(
                    f"Part {number} has less than {self.part_bytes_min} bytes; only the last may."
                )
            found.append(part)
        return found

    def _remove(self, multipart_id: str) -> None:
        folder = self._bucket.uploads / multipart_id
        for entry in folder.glob("[0-9]*"):
            self._bucket.blob(_STORED.decode(entry.read_bytes()).blob).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _keys(folder: Path, base: str) -> Iterator[str]:
    """The keys under `base`, whose folder this is, in their order."""
    try:
        found = [each for each in folder.iterdir() if each.name[0] in "=+"]
    except FileNotFoundError:
        return
    named = {unquote(each.name[1:]) + "/" * (each.name[0] == "+"): each for each in found}
    for name in sorted(named):
        if name.endswith("/"):
            yield from _keys(named[name], base + name)
        else:
            yield base + name


def _copy(source: int, start: int, stop: int, target: int) -> None:
    """Appends bytes [start, stop) of one file to another, in the kernel."""
    while start < stop:
        copied = os.copy_file_range(source, target, min(_COPY_BYTES, stop - start), start)
        if not copied:
            raise OSError(f"A part ends at byte {start}, not at {stop}.")
        start += copied


def _replace(path: Path, value: msgspec.Struct) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f"~{uuid4().hex}")
    written.write_bytes(msgspec.json.encode(value))
    written.replace(path)


def _info(key: str, stored: _Stored) -> ObjectInfo:
    return ObjectInfo(key=key, bytes=stored.bytes, etag=stored.etag, metadata=stored.metadata)


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
