"""A range report as it lies in S3, read in pieces: the trailer at once, records and ids as they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from offpeak.core.ports import Reader
from offpeak.wire.range_report import Record, decode_records, decode_trailer, trailer_bytes

TAIL_BYTES = 64 * 2**10


class StoredReport:
    """Reads the trailer when made. A small report is wholly in that read, and isn't read again."""

    def __init__(self, key: str, reader: Reader) -> None:
        self._key = key
        self._reader = reader
        size = reader.head(key).bytes
        tail = reader.read(key, max(0, size - TAIL_BYTES), size)
        missing = trailer_bytes(tail) - len(tail)
        if missing > 0:
            tail = reader.read(key, size - trailer_bytes(tail), size)
        self._whole = tail if len(tail) == size else None
        self.trailer = decode_trailer(tail)

    def records(self) -> Iterator[Record]:
        return decode_records(self._stream(0, self.trailer.records_bytes))

    def ids(self) -> bytes:
        """As the report holds them: 20 bytes a good line, sorted."""
        return b"".join(self._stream(self.trailer.records_bytes, self.trailer.ids_stop))

    def _stream(self, start: int, stop: int) -> Iterable[bytes]:
        if self._whole is not None:
            return [self._whole[start:stop]]
        return self._reader.stream(self._key, start, stop) if start < stop else ()
