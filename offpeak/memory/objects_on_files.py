"""Objects in a directory (`bucket_on_files.py`), read and written whole."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from offpeak.core.errors import NotFound
from offpeak.core.layout import JSON_LINES
from offpeak.core.ports import ObjectInfo
from offpeak.memory.bucket_on_files import (
    CHUNK_BYTES,
    BucketOnFiles,
    info_of,
)


class FilesReader:
    def __init__(self, bucket: BucketOnFiles) -> None:
        self._bucket = bucket

    def head(self, key: str) -> ObjectInfo:
        return info_of(key, self._bucket.find(key))

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
        stored = self._bucket.new_blob(body, JSON_LINES, metadata)
        return self._bucket.store(key, stored)

    def delete(self, key: str) -> None:
        self._bucket.delete(key)


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
