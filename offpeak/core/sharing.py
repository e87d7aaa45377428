"""How far the prompts of a model's request lines begin alike: counted range by range, merged into one."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class LevelKeys:
    """The prefixes of one length: `reached` prompts are that long, and have `distinct` keys. `smallest` are the
    smallest of these, 4 bytes each, big-endian and sorted; all of them when they are few."""

    reached: int
    distinct: int
    smallest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharing:
    """Of the lines of one model in one range. `prompt_bytes` is what they ask an engine to read; of these, an engine
    that takes the lines as they lie has `cached_as_it_lies` in its cache, and `cached_in_shards` if each shard's lines
    are put in order first. Level by level, shortest first, what it takes to say the same of the whole file in order."""

    lines: int
    prompt_bytes: int
    cached_as_it_lies: int
    cached_in_shards: int
    levels: tuple[LevelKeys, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedShare:
    """Which share of the prompts' bytes an engine would have in its cache, under each order. `levels` are the lengths
    of prefixes, in bytes, to put the whole file in order by: ascending, at most four, none when nothing is shared."""

    as_it_lies: float
    in_shards: float
    whole_file: float
    levels: tuple[int, ...] = ()

    def pays(self, gain_min: float) -> bool:
        """Whether the whole file's order gains so much over that of each shard."""
        return bool(self.levels) and self.whole_file - self.in_shards >= gain_min
