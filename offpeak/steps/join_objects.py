"""Joins objects into one, in memory that stays flat: S3 copies what is large enough, the rest passes through here."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from offpeak.core.ports import PART_BYTES_MIN, Multipart, ObjectInfo, Reader, Writer
from offpeak.planner.join_pieces import GATHER_BYTES, Piece, join_pieces

PIECES_AT_ONCE = 4


class Source(Protocol):
    """An object and its size in bytes: an ObjectInfo, a ResultObject."""

    @property
    def key(self) -> str: ...
    @property
    def bytes(self) -> int: ...


def join_objects(
    sources: Sequence[Source],
    target_key: str,
    content_type: str,
    *,
    reader: Reader,
    multipart: Multipart,
    writer: Writer,
) -> ObjectInfo:
    """The sources' bytes, one after the other, at `target_key`. At most about 100 MiB are held, where all are small.

    A join that fails leaves nothing behind: the target is there as a whole or not at all.
    """
    if sum(source.bytes for source in sources) <= GATHER_BYTES:
        body = b"".join(reader.read(source.key) for source in sources if source.bytes)
        return writer.put(target_key, body, content_type)
    multipart_id = multipart.begin(target_key, content_type)
    try:
        etags = _put_pieces(sources, target_key, multipart_id, reader=reader, multipart=multipart)
        return multipart.complete(target_key, multipart_id, etags)
    except BaseException:
        multipart.abort(target_key, multipart_id)
        raise


def _put_pieces(
    sources: Sequence[Source],
    target_key: str,
    multipart_id: str,
    *,
    reader: Reader,
    multipart: Multipart,
) -> dict[int, str]:
    """ETags by part number. The largest output has thousands of pieces, and S3 takes a moment for each."""
    pieces = enumerate(join_pieces([source.bytes for source in sources]), start=1)
    with ThreadPoolExecutor(PIECES_AT_ONCE) as executor:
        put = {
            number: executor.submit(
                _put_piece, piece, sources, target_key, multipart_id, number,
                reader=reader, multipart=multipart,
            )
            for number, piece in pieces
        }  # fmt: skip
        try:
            return {number: piece.result() for number, piece in put.items()}
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise


def _put_piece(
    piece: Piece,
    sources: Sequence[Source],
    target_key: str,
    multipart_id: str,
    number: int,
    *,
    reader: Reader,
    multipart: Multipart,
) -> str:
    first = piece[0]
    if len(piece) == 1 and first.bytes >= PART_BYTES_MIN:
        source = sources[first.source].key
        return multipart.copy_part(
            target_key, multipart_id, number, source, first.start, first.stop
        )
    body = b"".join(
        reader.read(sources[slice_.source].key, slice_.start, slice_.stop) for slice_ in piece
    )
    return multipart.put_part(target_key, multipart_id, number, body)
