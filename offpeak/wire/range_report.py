r"""What validation found in one byte range of an input file: one object, written in a stream and read in pieces.

    records    JSON Lines, in the order of the lines, which they cover without a gap:
                 ["good", model, lines, bytes]           a span: consecutive good lines of one model
                 ["bad", bytes, code, message, param, custom_id]
                 ["unlisted", lines, bytes]              bad lines beyond those that will be listed
    ids        20 bytes a good line: its custom_id's hash, its number within the range (big-endian, from 0); sorted
    trailer    JSON: where in the file the first line begins, the counts, the names of the models
    length     of the trailer, 4 bytes

Hashes are BLAKE2b of 128 bits, so that equal hashes are equal ids: among 5,000,000 ids a chance collision has odds of
10⁻²⁶, and a contrived one takes 2⁶⁴ attempts. So duplicates are found without reading a line twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from hashlib import blake2b

import msgspec

from offpeak.core.sharing import Sharing
from offpeak.wire.jsonl import split_lines

HASH_BYTES = 16
_ID = struct.Struct(f">{HASH_BYTES}sI")
_LENGTH = struct.Struct(">I")
ID_BYTES = _ID.size


class GoodSpan(msgspec.Struct, array_like=True, tag="good", frozen=True, gc=False):
    """`model` is an index into the trailer's models."""

    model: int
    lines: int
    bytes: int


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
    each model, `completion_tokens` has the sum of what its lines may generate at most, `sharing` how far their prompts
    begin alike."""

    begin: int
    good_lines: int
    bad_lines: int
    records_bytes: int
    models: list[str]
    completion_tokens: list[int]
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
    return _ID.pack(blake2b(custom_id.encode(), digest_size=HASH_BYTES).digest(), number)


def decode_ids(block: bytes) -> Iterator[tuple[bytes, int]]:
    """(hash, line number within the range) of every id in a block of whole ids."""
    return _ID.iter_unpack(block)


def encode_trailer(trailer: Trailer) -> bytes:
    body = _ENCODER.encode(trailer)
    return body + _LENGTH.pack(len(body))


def trailer_bytes(tail: bytes) -> int:
    """How many of a report's last bytes are its trailer. `tail` is its end, at least 4 bytes."""
    return int(_LENGTH.unpack(tail[-_LENGTH.size :])[0]) + _LENGTH.size


def decode_trailer(tail: bytes) -> Trailer:
    """`tail` is the report's end, at least `trailer_bytes(tail)` of it."""
    return _TRAILERS.decode(tail[-trailer_bytes(tail) : -_LENGTH.size])
