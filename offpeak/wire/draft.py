"""Plans that wait for their lines to be reordered, and the indexes of rewritten chunks.

A draft is JSON. An index is binary, 12 bytes a line, so that the planner of five million lines reads 60 MB and decodes
none of them:

    first_line, last_line, lines    8 bytes each
    keys                            8 bytes a line
    stops                           4 bytes a line
"""

from __future__ import annotations

import struct
import sys
from array import array

import msgspec

from offpeak.core.draft import ChunkIndex, Draft

_HEADER = struct.Struct("<QQQ")
_KEYS, _STOPS = "Q", "I"
CHUNK_BYTES_MAX = 2**32 - 1
"""What a stop can say."""

_ENCODER = msgspec.json.Encoder()
_DRAFTS = msgspec.json.Decoder(Draft)


def encode_draft(draft: Draft) -> bytes:
    return _ENCODER.encode(draft)


def decode_draft(body: bytes) -> Draft:
    return _DRAFTS.decode(body)


def encode_index(index: ChunkIndex) -> bytes:
    header = _HEADER.pack(index.first_line, index.last_line, len(index.keys))
    return header + _bytes(array(_KEYS, index.keys)) + _bytes(array(_STOPS, index.stops))


def decode_index(body: bytes) -> ChunkIndex:
    """Raises ValueError for what is no index."""
    if len(body) < _HEADER.size:
        raise ValueError("This is no index: it has no header.")
    first_line, last_line, lines = _HEADER.unpack_from(body)
    keys, stops = array(_KEYS), array(_STOPS)
    between = _HEADER.size + lines * keys.itemsize
    if len(body) != between + lines * stops.itemsize:
        raise ValueError(f"This is no index of {lines:,} lines: it has {len(body):,} bytes.")
    keys.frombytes(body[_HEADER.size : between])
    stops.frombytes(body[between:])
    _swap(keys, stops)
    return ChunkIndex(keys=keys, stops=stops, first_line=first_line, last_line=last_line)


def _bytes(numbers: array[int]) -> bytes:
    _swap(numbers)
    return numbers.tobytes()


def _swap(*of_numbers: array[int]) -> None:
    """Indexes are little-endian, as the machines that we know are."""
    if sys.byteorder == "big":
        for numbers in of_numbers:
            numbers.byteswap()
