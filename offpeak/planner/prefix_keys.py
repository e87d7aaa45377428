"""What prompts begin with, in numbers: equal keys at a level mean equal text up to there.

A chain: the checksum at each level goes on from the one before, so that it stands for the whole text so far. CRC-32
is the fastest that the standard library has (4 GB/s) and is the same in every process. Two prefixes that collide cost
a little locality and nothing else, so 32 bits a level are enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

LEVELS = tuple(256 << doubling for doubling in range(13))
"""Bytes from the prompt's beginning, up to the longest line that is taken. Below the first no engine gains much: it
caches whole blocks of 16 tokens and more."""
SHORTEST_SHARED = LEVELS[0]
SORT_LEVELS_MAX = 4
_SORT_BITS = {1: (32,), 2: (32, 32), 3: (24, 20, 20), 4: (22, 14, 14, 14)}
"""Of 64, for each level that is sorted by. The first tells most: deeper keys part what it has joined."""
_ODD = 0x9E3779B1
"""Knuth's multiplier: a checksum's high bits follow few of the text's, those of the product all of them."""


def prefix_keys(prompt: bytes) -> list[int]:
    """The chain's 32-bit keys at each level that the prompt reaches."""
    keys: list[int] = []
    key = start = 0
    for stop in LEVELS:
        if len(prompt) < stop:
            break
        key = crc32(prompt[start:stop], key)
        keys.append(key)
        start = stop
    return keys


def spread(key: int) -> int:
    """The key, evenly over 32 bits, so that the smallest of many are a fair sample of them."""
    return (key * _ODD) & 0xFFFFFFFF


def sort_key(prompt: bytes, levels: Sequence[int]) -> int:
    """64 bits that order prompts as a walk through the tree of their prefixes does: by the first of these levels, among
    equals by the second, … A prompt that ends before a level counts with the last key it has."""
    bits = _SORT_BITS[len(levels)]
    key = start = ordered = 0
    for stop, width in zip(levels, bits, strict=True):
        if start < stop <= len(prompt):
            key = crc32(prompt[start:stop], key)
            start = stop
        ordered = ordered << width | spread(key) >> (32 - width)
    return ordered << (64 - sum(bits))
