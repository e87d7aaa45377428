"""How far somebody has read a batch's results while it runs: opaque to them, and good for as long as the batch is.

Shards end in any order, so a place in their order would not do: the cursor says which shards were read to their end, in
each run a number below which all were, and a bit for each of those beyond. And it says where in the next object it is.
"""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import msgspec

from offpeak.core.errors import InvalidRequest
from offpeak.core.layout import ResultKind

CURSOR_CHARACTERS_MAX = 6_000
SHARDS_MAX = 1 << 24


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadShards:
    """Of one run: every shard below `below`, and those of `beyond`."""

    below: int = 0
    beyond: frozenset[int] = frozenset()

    def __contains__(self, number: int) -> bool:
        return number < self.below or number in self.beyond

    def plus(self, number: int) -> ReadShards:
        beyond = set(self.beyond | {number})
        below = self.below
        while below in beyond:
            beyond.remove(below)
            below += 1
        return ReadShards(below=below, beyond=frozenset(beyond))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadResults:
    """`kind` is what is read alone, if not both. `refused` is how many bytes of the refused lines were read, and
    `place` the shard (its run's number and its own) that was read in part: so many bytes of one of its objects, and
    none of those after it."""

    kind: ResultKind | None = None
    refused: int = 0
    runs: Mapping[int, ReadShards] = field(default_factory=dict)
    place: tuple[int, int, ResultKind, int] | None = None

    def of_run(self, run: int) -> ReadShards:
        return self.runs.get(run, ReadShards())

    def with_shard(self, run: int, number: int) -> ReadResults:
        runs = {**self.runs, run: self.of_run(run).plus(number)}
        return replace(self, runs=runs, place=None)


class _Packed(msgspec.Struct, array_like=True, frozen=True):
    kind: ResultKind | None
    refused: int
    runs: list[tuple[int, int, str]]
    place: tuple[int, int, ResultKind, int] | None


_DECODER = msgspec.json.Decoder(_Packed)


def encode_cursor(read: ReadResults) -> str:
    runs = [
        (run, shards.below, _pack_bits(shards.beyond, shards.below))
        for run, shards in read.runs.items()
    ]
    packed = _Packed(read.kind, read.refused, runs, read.place)
    return urlsafe_b64encode(msgspec.json.encode(packed)).decode().rstrip("=")


def decode_cursor(text: str) -> ReadResults:
    """Raises InvalidRequest (param `after`) for anything that is no cursor of ours."""
    try:
        if len(text) > CURSOR_CHARACTERS_MAX:
            raise ValueError("too long")
        packed = _DECODER.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        runs = {
            run: ReadShards(below=_place(below), beyond=_unpack_bits(bits, below))
            for run, below, bits in packed.runs
        }
        if packed.place is not None:
            _place(packed.place[3])
        return ReadResults(
            kind=packed.kind, refused=_place(packed.refused), runs=runs, place=packed.place
        )
    except (ValueError, binascii.Error):
        raise InvalidRequest(
            "'after' is none of the values that an answer of this route gave.",
            param="after", code="invalid_after",
        ) from None  # fmt: skip


def _pack_bits(numbers: frozenset[int], start: int) -> str:
    bits = sum(1 << (number - start) for number in numbers)
    return urlsafe_b64encode(bits.to_bytes(-(-bits.bit_length() // 8))).decode().rstrip("=")


def _unpack_bits(text: str, start: int) -> frozenset[int]:
    bits = int.from_bytes(urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return frozenset(start + place for place in range(bits.bit_length()) if bits >> place & 1)


def _place(number: int) -> int:
    if number < 0:
        raise ValueError("negative")
    return number
