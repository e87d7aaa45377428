"""An object written piece by piece, memory flat: in one put while it is small, in parts once it isn't."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from offpeak.core.ports import Multipart, ObjectInfo, Writer

PART_BYTES = 8 * 2**20


class StreamedObject:
    """A context manager: leaving it by an exception leaves no object, and no parts, behind."""

    def __init__(
        self, key: str, *, writer: Writer, multipart: Multipart,
        content_type: str = "application/octet-stream", part_bytes: int = PART_BYTES,
    ) -> None:  # fmt: skip
        self._key = key
        self._writer = writer
        self._multipart = multipart
        self._content_type = content_type
        self._part_bytes = part_bytes
        self._held = bytearray()
        self._multipart_id: str | None = None
        self._etags: dict[int, str] = {}
        self.bytes = 0
        """Written so far."""

    def write(self, data: bytes) -> None:
        self._held += data
        self.bytes += len(data)
        while len(self._held) >= self._part_bytes:
            self._put_part(self._part_bytes)

    def close(self) -> ObjectInfo:
        """The object is there once this returns."""
        if self._multipart_id is None:
            return self._writer.put(self._key, bytes(self._held), self._content_type)
        if self._held:
            self._put_part(len(self._held))
        info = self._multipart.complete(self._key, self._multipart_id, self._etags)
        self._multipart_id = None
        return info

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        if self._multipart_id is not None:
            self._multipart.abort(self._key, self._multipart_id)

    def _put_part(self, size: int) -> None:
        if self._multipart_id is None:
            self._multipart_id = self._multipart.begin(self._key, self._content_type)
        number = len(self._etags) + 1
        body = bytes(self._held[:size])
        del self._held[:size]
        self._etags[number] = self._multipart.put_part(self._key, self._multipart_id, number, body)
