"""Whether putting a file's lines in order pays: which share of their prompts an engine would find in its cache.

    as it lies    the lines in the file's order, cut into shards, before an LRU cache
    in shards     each shard's lines in order, which costs nothing but a sort: what a shard begins with twice is read
                  once, and what the cache still has from before not at all
    whole file    all lines in order, which takes a rewrite: what the file begins with twice is read once

The first two are counted as the lines pass, but for what lies in another range. A prefix is in the cache as long as
less than the cache's bytes have been touched since it was: all that misses counts as touched, and of what hits the part
that was not touched since, on average its age over the oldest that the cache holds.

Both are those of an instance that works all shards, one after the other. Where several share them, each sees its own
shards in that order, contiguous lines each: what differs is what would cross from a shard to the next.

For the third, a range keeps of each level the smallest keys (a bottom-k sketch: Bar-Yossef et al., "Counting distinct
elements in a data stream", 2002); those of all ranges under the lowest of their bounds are a fair sample of all keys,
whichever range they came from.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from zlib import crc32

from offpeak.core.catalogue import CatalogueError
from offpeak.core.fit import kv_tokens
from offpeak.core.instance_types import INSTANCE_TYPES
from offpeak.core.model import Model
from offpeak.core.sharing import CachedShare, LevelKeys, Sharing
from offpeak.planner.prefix_keys import LEVELS, SHORTEST_SHARED, SORT_LEVELS_MAX, spread

SKETCH_KEYS = 512
"""A sketch of so many keys is right to within 1/√512, 4 %."""
BYTES_A_TOKEN = 4
CACHE_TOKENS_DEFAULT = 65_536
CACHE_SHARE = 0.5
"""Of an engine's KV cache, for prompts that nobody runs any more. The other half holds the requests that run."""
GAIN_MIN = 0.05
"""Of the prompts' bytes. A rewrite costs cents and some seconds; reading 5 % fewer prompts saves more GPU time."""
_LEVEL_GAIN_MIN = 0.02
_SAME = 1.02
_KEYS = 2**32
_NEVER = -(2**62)


def cache_bytes(model: Model) -> int:
    """What the prefix cache of the model's smallest instance holds, in bytes of prompts."""
    try:
        tokens = min(kv_tokens(model, INSTANCE_TYPES[name]) for name in model.instance_types)
    except (CatalogueError, KeyError, ValueError):  # nobody has said what it runs on
        tokens = CACHE_TOKENS_DEFAULT
    return int(max(0, tokens) * CACHE_SHARE) * BYTES_A_TOKEN


class SharingCounter:
    """Counts the lines of one model in one range, in their order. Memory holds a number a prefix."""

    def __init__(self, *, cache_bytes: int, lines_max: int, bytes_max: int) -> None:
        """`lines_max` and `bytes_max` are a shard's limits."""
        self._cache_bytes = max(1, cache_bytes)
        self._lines_max = lines_max
        self._bytes_max = bytes_max
        self._levels: list[tuple[int, dict[int, int]]] = []
        self._reached = [0] * (len(LEVELS) + 1)
        self._clock = 0
        self._shard_began = 0
        self._shard_lines = 0
        self._shard_bytes = 0
        self._lines = 0
        self._prompt_bytes = 0
        self._as_it_lies = 0
        self._in_shards = 0

    def add(self, prompt: bytes, line_bytes: int) -> None:
        """A line of so many bytes with this prompt. Whatever a prefix was last seen at is its place on the clock."""
        if self._shard_lines == self._lines_max or self._shard_bytes + line_bytes > self._bytes_max:
            self._shard_began, self._shard_lines, self._shard_bytes = self._clock, 0, 0
        self._shard_lines += 1
        self._shard_bytes += line_bytes
        self._lines += 1
        length = len(prompt)
        self._prompt_bytes += length
        clock = self._clock
        if length < SHORTEST_SHARED:
            self._clock = clock + length
            return
        cached_since = clock - self._cache_bytes
        of_shard_since = min(cached_since, self._shard_began)
        key = start = depth = as_it_lies = in_shards = age = seen = 0
        for stop, last_seen in self._levels:
            if length < stop:
                break
            key = crc32(prompt[start:stop], key)
            start = stop
            depth += 1
            # What goes on from a prefix that never was, never was either.
            seen = last_seen.get(key, _NEVER) if seen != _NEVER else _NEVER
            last_seen[key] = clock
            if seen >= of_shard_since:
                in_shards = stop
                if seen >= cached_since:
                    as_it_lies = stop
                    age = clock - seen
        else:
            depth = self._deepen(prompt, clock, key)
        self._reached[depth] += 1
        self._as_it_lies += as_it_lies
        self._in_shards += in_shards
        self._clock = clock + length - as_it_lies + as_it_lies * age // self._cache_bytes

    def _deepen(self, prompt: bytes, clock: int, key: int) -> int:
        """Adds the levels that no prompt before was long enough for. Returns how many this one reaches."""
        for stop in LEVELS[len(self._levels) :]:
            if len(prompt) < stop:
                break
            start = self._levels[-1][0] if self._levels else 0
            key = crc32(prompt[start:stop], key)
            self._levels.append((stop, {key: clock}))
        return len(self._levels)

    def finish(self) -> Sharing:
        reached = 0
        levels: list[LevelKeys] = []
        for depth in range(len(self._levels), 0, -1):
            reached += self._reached[depth]
            keys = self._levels[depth - 1][1]
            levels.append(LevelKeys(reached=reached, distinct=len(keys), smallest=_smallest(keys)))
        return Sharing(
            lines=self._lines, prompt_bytes=self._prompt_bytes, cached_as_it_lies=self._as_it_lies,
            cached_in_shards=self._in_shards, levels=tuple(reversed(levels)),
        )  # fmt: skip


def _smallest(keys: Collection[int]) -> bytes:
    """The smallest `SKETCH_KEYS` of them, spread. They are even over their 32 bits: the few below a bound are looked
    at first, which nearly always hold them."""
    bound = 2 * _KEYS * SKETCH_KEYS // max(1, len(keys))
    few = [key for key in map(spread, keys) if key < bound]
    found = few if len(few) >= SKETCH_KEYS else list(map(spread, keys))
    return b"".join([key.to_bytes(4) for key in sorted(found)[:SKETCH_KEYS]])


@dataclass(frozen=True, slots=True)
class _Grouping:
    """The prompts that reach a level, by their keys there. `gain` is the bytes between the level before and this one
    that need not be read again."""

    reached: int
    distinct: int
    gain: int

    def is_as(self, deeper: _Grouping) -> bool:
        """Whether nearly the same prompts are in nearly the same groups."""
        return self.reached <= _SAME * deeper.reached and deeper.distinct <= _SAME * self.distinct


def estimate_cached_share(ranges: Sequence[Sharing]) -> CachedShare:
    """Of the lines of one model in all ranges of a file. What prompts share beyond a level counts from the next one on,
    so that every share is on the low side."""
    prompt_bytes = sum(each.prompt_bytes for each in ranges)
    if not prompt_bytes:
        return CachedShare(as_it_lies=0.0, in_shards=0.0, whole_file=0.0)
    groupings: dict[int, _Grouping] = {}
    start = 0
    for depth, stop in enumerate(LEVELS):
        of_level = [each.levels[depth] for each in ranges if depth < len(each.levels)]
        if not of_level:
            break
        reached = sum(each.reached for each in of_level)
        distinct = min(reached, distinct_keys(of_level))
        groupings[stop] = _Grouping(reached, distinct, (stop - start) * (reached - distinct))
        start = stop
    in_shards = sum(each.cached_in_shards for each in ranges)
    return CachedShare(
        as_it_lies=sum(each.cached_as_it_lies for each in ranges) / prompt_bytes,
        in_shards=in_shards / prompt_bytes,
        whole_file=max(in_shards, sum(each.gain for each in groupings.values())) / prompt_bytes,
        levels=_sort_levels(groupings),
    )


def distinct_keys(sketches: Sequence[LevelKeys]) -> int:
    """How many distinct keys the ranges have together: exactly while they are few, estimated when they are many."""
    kept: set[int] = set()
    bound = _KEYS
    for each in sketches:
        smallest = memoryview(each.smallest)
        keys = [int.from_bytes(smallest[at : at + 4]) for at in range(0, len(smallest), 4)]
        kept.update(keys)
        if len(keys) < each.distinct:
            bound = min(bound, keys[-1])
    if len(sketches) == 1:
        return sketches[0].distinct
    if bound == _KEYS:
        return len(kept)
    estimate = round(sum(key < bound for key in kept) * _KEYS / bound)
    most = sum(each.distinct for each in sketches)
    return min(max(estimate, *(each.distinct for each in sketches)), most)


def _sort_levels(groupings: Mapping[int, _Grouping]) -> tuple[int, ...]:
    """The levels whose prefixes are shared and part what those before have joined: of levels with the same groups the
    deepest, for it implies the others."""
    total = sum(each.gain for each in groupings.values())
    shared = [
        stop
        for stop, each in groupings.items()
        if each.gain > 0 and each.gain >= _LEVEL_GAIN_MIN * total
    ]
    implied = {
        stop for stop, deeper in pairwise(shared) if groupings[stop].is_as(groupings[deeper])
    }
    parting = [stop for stop in shared if stop not in implied]
    best = sorted(parting, key=lambda stop: -groupings[stop].gain)[:SORT_LEVELS_MAX]
    return tuple(sorted(best))
