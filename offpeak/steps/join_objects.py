"""Joins objects into one, in memory that stays flat: S3 copies what is large enough, the rest passes through here."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from offpeak.core.ports import PART_BYTES_MIN, Multipart, ObjectInfo, Reader, Writer
from offpeak.planner.join_pieces import GATHER_BYTES, join_pieces
from offpeak.wire.assembly import Extent

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
    pieces = [
        [Extent(sources[each.source].key, each.start, each.stop) for each in piece]
        for piece in join_pieces([source.bytes for source in sources])
    ]
    return put_parts(
        pieces, target_key, multipart_id, 1, reader=reader, multipart=multipart,
        at_once=PIECES_AT_ONCE,
    )  # fmt: skip


def put_parts(
    pieces: Sequence[Sequence[Extent]], target_key: str, multipart_id: str, first_part: int, *,
    reader: Reader, multipart: Multipart, at_once: int, part_bytes_min: int = PART_BYTES_MIN,
) -> dict[int, str]:  # fmt: skip
    """Each piece as a part, numbered from `first_part` on; ETags by number. The largest output has thousands of them,
    and S3 takes a moment for each."""

    def put(number: int, piece: Sequence[Extent]) -> str:
        first = piece[0]
        if len(piece) == 1 and first.bytes >= part_bytes_min:
            return multipart.copy_part(
                target_key, multipart_id, number, first.key, first.start, first.stop
            )
        body = b"".join(reader.read(each.key, each.start, each.stop) for each in piece)
        return multipart.put_part(target_key, multipart_id, number, body)

    numbered = list(enumerate(pieces, first_part))
    if at_once == 1:
        return {number: put(number, piece) for number, piece in numbered}
    with ThreadPoolExecutor(at_once) as executor:
        begun = {number: executor.submit(put, number, piece) for number, piece in numbered}
        try:
            return {number: etag.result() for number, etag in begun.items()}
        except BaseException:
            executor.shutdown(cancel_futures=True)
            raise
