"""A bucket in memory, held to S3's rules for parts."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from threading import RLock
from urllib.parse import parse_qs, quote, unquote, urlencode, urlsplit

from offpeak.core.errors import (
    InvalidRequest,
    MultipartGone,
    NotFound,
    StateConflict,
    Unauthenticated,
)
from offpeak.core.layout import JSON_LINES
from offpeak.core.ports import (
    PART_BYTES_MAX,
    PART_BYTES_MIN,
    PARTS_MAX,
    Clock,
    Multipart,
    ObjectInfo,
    Reader,
    Writer,
)

CHUNK_BYTES = 1024**2


@dataclass(frozen=True, slots=True)
class StoredObject:
    info: ObjectInfo
    body: bytes
    content_type: str


@dataclass
class Bucket:
    """What the object ports below share."""

    lock: RLock
    objects: dict[str, StoredObject] = field(default_factory=dict)

    def store(
        self, key: str, body: bytes, content_type: str, etag: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:  # fmt: skip
        info = ObjectInfo(
            key=key, bytes=len(body), etag=etag or _md5(body), metadata=dict(metadata or {})
        )
        with self.lock:
            self.objects[key] = StoredObject(info, body, content_type)
        return info

    def find(self, key: str) -> StoredObject:
        with self.lock:
            if key not in self.objects:
                raise NotFound(f"There is no object {key}.")
            return self.objects[key]

    def find_pinned(self, key: str, etag: str | None) -> StoredObject:
        found = self.find(key)
        if etag is not None and found.info.etag != etag:
            raise StateConflict(f"Object {key} was replaced by another.", code="object_replaced")
        return found


class MemoryReader:
    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def head(self, key: str) -> ObjectInfo:
        return self._bucket.find(key).info

    def read(
        self, key: str, start: int = 0, stop: int | None = None, *, etag: str | None = None
    ) -> bytes:
        return self._bucket.find_pinned(key, etag).body[start:stop]

    def stream(
        self, key: str, start: int = 0, stop: int | None = None, *, etag: str | None = None
    ) -> Iterator[bytes]:
        body = memoryview(self._bucket.find_pinned(key, etag).body)[start:stop]
        for at in range(0, len(body), CHUNK_BYTES):
            yield bytes(body[at : at + CHUNK_BYTES])

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        with self._bucket.lock:
            found = sorted(key for key in self._bucket.objects if key.startswith(prefix))
            infos = [self._bucket.objects[key].info for key in found]
        yield from infos


class MemoryWriter:
    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def put(
        self, key: str, body: bytes, content_type: str = "application/octet-stream"
    ) -> ObjectInfo:
        return self._bucket.store(key, body, content_type)

    def put_over(
        self,
        key: str,
        body: bytes,
        etag: str | None,
        content_type: str = "application/octet-stream",
    ) -> ObjectInfo:
        with self._bucket.lock:
            stored = self._bucket.objects.get(key)
            if (stored.info.etag if stored else None) != etag:
                raise StateConflict(
                    f"Object {key} was changed by somebody else meanwhile.", code="write_conflict"
                )
            return self._bucket.store(key, body, content_type)

    def put_with(self, key: str, body: bytes, metadata: Mapping[str, str]) -> ObjectInfo:
        """As a producer puts an object, with metadata of theirs. We never do."""
        return self._bucket.store(key, body, JSON_LINES, metadata=metadata)

    def delete(self, key: str) -> None:
        with self._bucket.lock:
            self._bucket.objects.pop(key, None)


@dataclass
class _Parts:
    key: str
    content_type: str
    bodies: dict[int, bytes] = field(default_factory=dict)


class MemoryMultipart:
    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._begun: dict[str, _Parts] = {}
        self._count = 0
        self.part_bytes_min = PART_BYTES_MIN

    @property
    def open_ids(self) -> tuple[str, ...]:
        """Multipart uploads that were neither completed nor aborted: somebody pays for them."""
        return tuple(self._begun)

    def begin(self, key: str, content_type: str = "application/octet-stream") -> str:
        with self._bucket.lock:
            self._count += 1
            multipart_id = f"multipart-{self._count}"
            self._begun[multipart_id] = _Parts(key, content_type)
        return multipart_id

    def put_part(self, key: str, multipart_id: str, number: int, body: bytes) -> str:
        if not 1 <= number <= PARTS_MAX:
            raise InvalidRequest(f"Parts are numbered from 1 to {PARTS_MAX}, not {number}.")
        if len(body) > PART_BYTES_MAX:
            raise InvalidRequest(f"A part has at most {PART_BYTES_MAX} bytes.")
        with self._bucket.lock:
            self._find(key, multipart_id).bodies[number] = body
        return _md5(body)

    def copy_part(
        self, key: str, multipart_id: str, number: int, source: str, start: int, stop: int
    ) -> str:
        body = self._bucket.find(source).body
        if not 0 <= start < stop <= len(body):
            raise InvalidRequest(f"{source} has no bytes [{start}, {stop}).")
        return self.put_part(key, multipart_id, number, body[start:stop])

    def complete(self, key: str, multipart_id: str, etags: Mapping[int, str]) -> ObjectInfo:
        with self._bucket.lock:
            parts = self._find(key, multipart_id)
            bodies = _checked(parts.bodies, etags, self.part_bytes_min)
            digests = b"".join(hashlib.md5(b, usedforsecurity=False).digest() for b in bodies)
            etag = f"{_md5(digests)}-{len(bodies)}"
            info = self._bucket.store(key, b"".join(bodies), parts.content_type, etag)
            del self._begun[multipart_id]
        return info

    def abort(self, key: str, multipart_id: str) -> None:
        with self._bucket.lock:
            parts = self._begun.get(multipart_id)
            if parts is not None and parts.key == key:
                del self._begun[multipart_id]

    def _find(self, key: str, multipart_id: str) -> _Parts:
        parts = self._begun.get(multipart_id)
        if parts is None or parts.key != key:
            raise MultipartGone(f"There is no multipart upload {multipart_id} of {key}.")
        return parts


def _checked(
    bodies: Mapping[int, bytes], etags: Mapping[int, str], part_bytes_min: int
) -> list[bytes]:
    """The named parts in the order of their numbers. Raises InvalidRequest as S3 would."""
    if not etags:
        raise InvalidRequest("A multipart upload needs at least one part.")
    numbers = sorted(etags)
    for number in numbers:
        if number not in bodies or _md5(bodies[number]) != etags[number].strip('"'):
            raise InvalidRequest(f"Part {number} was not uploaded, or its ETag differs.")
        if number != numbers[-1] and len(bodies[number]) < part_bytes_min:
            raise InvalidRequest(
                f"Part {number} has less than {part_bytes_min} bytes; only the last may."
            )
    return [bodies[number] for number in numbers]


class MemoryPresigner:
    """Makes `memory://` URLs; `get` and `put` are what a client would do with them."""

    def __init__(self, reader: Reader, writer: Writer, multipart: Multipart, clock: Clock) -> None:
        self._reader = reader
        self._writer = writer
        self._multipart = multipart
        self._clock = clock

    def download_url(self, key: str, seconds: int, filename: str) -> str:
        return self._sign(key, seconds, filename=filename)

    def upload_url(self, key: str, seconds: int) -> str:
        return self._sign(key, seconds, whole="1")

    def part_url(self, key: str, multipart_id: str, number: int, seconds: int) -> str:
        return self._sign(key, seconds, multipart_id=multipart_id, number=str(number))

    def get(self, url: str) -> bytes:
        """What a download URL answers. Raises Unauthenticated once it has expired."""
        key, query = self._open(url)
        if "filename" not in query:
            raise Unauthenticated("This URL is not signed for a download.")
        return self._reader.read(key)

    def put(self, url: str, body: bytes) -> str:
        """Uploads a part, or a whole object, to its URL; its ETag. Raises Unauthenticated once the URL has expired."""
        key, query = self._open(url)
        if "whole" in query:
            return self._writer.put(key, body).etag
        if "multipart_id" not in query:
            raise Unauthenticated("This URL is not signed for an upload.")
        return self._multipart.put_part(key, query["multipart_id"], int(query["number"]), body)

    def _sign(self, key: str, seconds: int, **query: str) -> str:
        expires = str(self._clock.now() + seconds)
        return f"memory://bucket/{quote(key)}?{urlencode({**query, 'expires': expires})}"

    def _open(self, url: str) -> tuple[str, dict[str, str]]:
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self._clock.now() >= float(query["expires"]):
            raise Unauthenticated("Request has expired.")
        return unquote(parts.path.removeprefix("/")), query


def _md5(body: bytes) -> str:
    return hashlib.md5(body, usedforsecurity=False).hexdigest()
