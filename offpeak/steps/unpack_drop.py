"""Unpacks a gzip file of one or more members, memory flat, and stops where it turns out too large."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

from offpeak.core.ports import Multipart, ObjectInfo, Reader, Writer
from offpeak.steps.streamed_object import StreamedObject

PIECE_BYTES = 2**20
RATIO_MAX = 300
"""Request lines that share a long prompt come close to a hundred; gzip itself can do a thousand."""
RATIO_FROM_BYTES = 64 * 2**20
_GZIP = 16 + zlib.MAX_WBITS


class UnpackError(ValueError):
    """The file can't be unpacked; the message says why. `code` is the batch error's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def unpack_drop(
    packed: ObjectInfo, target_key: str, bytes_max: int, *, reader: Reader, writer: Writer,
    multipart: Multipart,
) -> ObjectInfo:  # fmt: skip
    """The object with the unpacked bytes. Raises UnpackError, and StateConflict when the packed one was replaced."""
    with StreamedObject(target_key, writer=writer, multipart=multipart) as target:
        for piece in unpack(reader.stream(packed.key, etag=packed.etag)):
            target.write(piece)
            if target.bytes > bytes_max:
                raise UnpackError(
                    "file_too_large",
                    f"The file unpacks to more than {bytes_max:,} bytes, this account's limit.",
                )
            if target.bytes > max(RATIO_FROM_BYTES, RATIO_MAX * packed.bytes):
                raise UnpackError(
                    "file_too_large",
                    f"The file unpacks to more than {RATIO_MAX} times its {packed.bytes:,} bytes. Put it unpacked.",
                )
        return target.close()


def unpack(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Pieces of at most `PIECE_BYTES`. Members follow one another; zeros may follow the last. Raises UnpackError."""
    member: zlib._Decompress | None = None
    members = 0
    for chunk in chunks:
        rest, is_full = chunk, False
        while rest or is_full:
            if member is None:
                rest = rest.lstrip(b"\0") if members else rest
                if not rest:
                    break
                member, members = zlib.decompressobj(_GZIP), members + 1
            try:
                piece = member.decompress(rest, PIECE_BYTES)
            except zlib.error as error:
                raise UnpackError("invalid_gzip", f"The file is not valid gzip: {error}.") from None
            yield piece
            # What came out up to the brim may not be all, even when nothing is left to put in.
            rest, is_full = member.unconsumed_tail, len(piece) == PIECE_BYTES
            if member.eof:
                rest, member, is_full = member.unused_data, None, False
    if member is not None or not members:
        raise UnpackError("invalid_gzip", "The gzip file ends before its data does.")
