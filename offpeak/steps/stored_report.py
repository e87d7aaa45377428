"""A range report as it lies in S3, read in pieces: the trailer at once, records and ids as they are asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from offpeak.core.ports import Reader
from offpeak.wire.range_report import (
    ID_BYTES,
    Record,
    decode_ids,
    decode_records,
    decode_trailer,
    trailer_bytes,
)

TAIL_BYTES = 64 * 2**10
IDS_A_READ = 13_000  # about 256 KiB: of a merge over 150 ranges, 40 MB are held


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

    def ids(self) -> Iterator[tuple[bytes, int]]:
        """(hash, line number within the range, from 0), sorted."""
        step = IDS_A_READ * ID_BYTES
        for start in range(self.trailer.records_bytes, self.trailer.ids_stop, step):
            yield from decode_ids(self._read(start, min(start + step, self.trailer.ids_stop)))

    def _stream(self, start: int, stop: int) -> Iterable[bytes]:
        if self._whole is not None:
            return [self._whole[start:stop]]
        return self._reader.stream(self._key, start, stop) if start < stop else ()

    def _read(self, start: int, stop: int) -> bytes:
        if self._whole is not None:
            return self._whole[start:stop]
        return self._reader.read(self._key, start, stop)
