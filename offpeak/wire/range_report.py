r"""What validation found in one byte range of an input file: one object, written in a stream and read in pieces.

    records    JSON Lines, in the order of the lines, which they cover without a gap:
                 ["good", model, lines, bytes, index]    a span: consecutive good lines of one model
                 ["bad", bytes, code, message, param, custom_id]
                 ["unlisted", lines, bytes]              bad lines beyond those that will be listed
    ids        20 bytes a good line: its custom_id's hash, its number within the range (big-endian, from 0); sorted
    trailer    JSON: where in the file the first line begins, the counts, the names of the models
    length     of the trailer, 4 bytes

Hashes are BLAKE2b of 128 bits, so that equal hashes are equal ids: among 5,000,000 ids a chance collision has odds of
10⁻²⁶, and a contrived one takes 2⁶⁴ attempts. So duplicates are found without reading a line twice (decision 0010).

Spans are the index of the lines, coarse: one in some 250. Of a batch that skips its bad lines, a span has the fine one,
so that a duplicate can be cut out of it, and named, without reading it again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from hashlib import blake2b

import msgspec

from offpeak.core.sharing import Sharing
from offpeak.wire.jsonl import split_lines

HASH_BYTES = 16
_NUMBER_BYTES = 4
_NEW_HASH = blake2b(digest_size=HASH_BYTES).copy  # in half the time of making one
_LENGTH = struct.Struct(">I")
ID_BYTES = HASH_BYTES + _NUMBER_BYTES


class LineIndex(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Of each line in a span: how many bytes it has, its newline included, and its custom_id."""

    bytes: list[int]
    custom_ids: list[str]


class GoodSpan(msgspec.Struct, array_like=True, tag="good", frozen=True, gc=False):
    """`model` is an index into the trailer's models."""

    model: int
    lines: int
    bytes: int
    index: LineIndex | None = None


class BadRecord(msgspec.Struct, array_like=True, tag="bad", frozen=True, gc=False):
    bytes: int
    code: str
    message: str
    param: str | None
    custom_id: str | None

    @property
    def lines(self) -> int:
        return 1


class UnlistedSpan(msgspec.Struct, array_like=True, tag="unlisted", frozen=True, gc=False):
    lines: int
    bytes: int


Record = GoodSpan | BadRecord | UnlistedSpan


class Trailer(msgspec.Struct, frozen=True, kw_only=True):
    """`begin` is where in the file the range's first line begins. The ids follow the records at `records_bytes`. Of
    each model, `input_tokens` has those of its good lines, estimated, `completion_tokens` the sum of what they may
    generate at most, and `sharing` how far their prompts begin alike."""

    begin: int
    good_lines: int
    bad_lines: int
    records_bytes: int
    models: list[str]
    completion_tokens: list[int]
    input_tokens: list[int] = []
    sharing: list[Sharing] | None = None

    def completion_tokens_of(self, model: str) -> int:
        of_models = zip(self.models, self.completion_tokens, strict=True)
        return sum(tokens for name, tokens in of_models if name == model)

    def sharing_of(self, model: str) -> Sharing | None:
        of_models = zip(self.models, self.sharing or (), strict=False)
        return next((sharing for name, sharing in of_models if name == model), None)

    @property
    def lines(self) -> int:
        return self.good_lines + self.bad_lines

    @property
    def ids_stop(self) -> int:
        return self.records_bytes + self.good_lines * ID_BYTES


_ENCODER = msgspec.json.Encoder()
_RECORDS = msgspec.json.Decoder(Record)
_TRAILERS = msgspec.json.Decoder(Trailer)


def encode_record(record: Record) -> bytes:
    """The record's line, its newline included."""
    return _ENCODER.encode(record) + b"\n"


def decode_records(chunks: Iterable[bytes]) -> Iterator[Record]:
    for start, _, line in split_lines(chunks):
        if line is None:
            raise ValueError(f"Byte {start} of the range report begins no record.")
        yield _RECORDS.decode(line)


def encode_id(custom_id: str, number: int) -> bytes:
    digest = _NEW_HASH()
    digest.update(custom_id.encode())
    return digest.digest() + number.to_bytes(_NUMBER_BYTES, "big")


def sorted_ids(ids: Iterable[bytes]) -> Iterator[bytes]:
    """All of them, sorted, some at a time: by their first byte first, which takes 60 % of the time of one sort."""
    parted: list[list[bytes]] = [[] for _ in range(256)]
    for each in ids:
        parted[each[0]].append(each)
    for part in parted:
        part.sort()
        yield b"".join(part)


def encode_trailer(trailer: Trailer) -> bytes:
    body = _ENCODER.encode(trailer)
    return body + _LENGTH.pack(len(body))


def trailer_bytes(tail: bytes) -> int:
    """How many of a report's last bytes are its trailer. `tail` is its end, at least 4 bytes."""
    return int(_LENGTH.unpack(tail[-_LENGTH.size :])[0]) + _LENGTH.size


def decode_trailer(tail: bytes) -> Trailer:
    """`tail` is the report's end, at least `trailer_bytes(tail)` of it."""
    return _TRAILERS.decode(tail[-trailer_bytes(tail) : -_LENGTH.size])
