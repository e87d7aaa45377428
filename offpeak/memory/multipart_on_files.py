"""Multipart uploads into a directory (`bucket_on_files.py`), held to S3's rules for parts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec

from offpeak.core.errors import InvalidRequest, MultipartGone, NotFound
from offpeak.core.ports import PART_BYTES_MAX, PART_BYTES_MIN, PARTS_MAX, ObjectInfo
from offpeak.memory.bucket_on_files import STORED, BucketOnFiles, Stored, md5, replace_file

_COPY_BYTES = 2**30


class _Begun(msgspec.Struct, frozen=True):
    key: str
    content_type: str


_BEGUN = msgspec.json.Decoder(_Begun)


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
        replace_file(self._bucket.uploads / multipart_id / "upload", _Begun(key, content_type))
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
        etag = md5(f"{stored.etag} {start} {stop}".encode())
        part = Stored(blob=name, start=start, stop=stop, etag=etag, content_type="")
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
        etag = f"{md5(''.join(part.etag for part in parts).encode())}-{len(parts)}"
        stored = Stored(blob=name, stop=size, etag=etag, content_type=begun.content_type)
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
            raise MultipartGone(f"There is no multipart upload {multipart_id} of {key}.")
        return begun

    def _entry(self, key: str, multipart_id: str, number: int) -> Path:
        if not 1 <= number <= PARTS_MAX:
            raise InvalidRequest(f"Parts are numbered from 1 to {PARTS_MAX}, not {number}.")
        self._find(key, multipart_id)
        return self._bucket.uploads / multipart_id / f"{number:05}"

    def _store_part(self, entry: Path, part: Stored) -> str:
        with suppress(FileNotFoundError):
            self._bucket.blob(STORED.decode(entry.read_bytes()).blob).unlink()
        replace_file(entry, part)
        return part.etag

    def _checked(self, key: str, multipart_id: str, etags: Mapping[int, str]) -> list[Stored]:
        """The named parts in the order of their numbers. Raises InvalidRequest as S3 would."""
        if not etags:
            raise InvalidRequest("A multipart upload needs at least one part.")
        numbers = sorted(etags)
        found: list[Stored] = []
        for number in numbers:
            entry = self._entry(key, multipart_id, number)
            part = STORED.decode(entry.read_bytes()) if entry.exists() else None
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
            self._bucket.blob(STORED.decode(entry.read_bytes()).blob).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: int, start: int, stop: int, target: int) -> None:
    """Appends bytes [start, stop) of one file to another, in the kernel."""
    while start < stop:
        copied = os.copy_file_range(source, target, min(_COPY_BYTES, stop - start), start)
        if not copied:
            raise OSError(f"A part ends at byte {start}, not at {stop}.")
        start += copied
