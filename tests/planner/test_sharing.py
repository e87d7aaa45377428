"""The estimate of what an engine has cached, against an exact LRU cache that reads the same prompts."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.core.model import Model
from offpeak.core.sharing import CachedShare, LevelKeys, Sharing
from offpeak.planner.prefix_keys import LEVELS, prefix_keys, sort_key, spread
from offpeak.planner.sharing import (
    GAIN_MIN,
    SKETCH_KEYS,
    SharingCounter,
    cache_bytes,
    distinct_keys,
    estimate_cached_share,
)
from tests.planner.lru_cache import cached_bytes

CACHE = 40_000
SHARD_LINES = 200


def prompts(groups: int, of_each: int, shared: int, own: int, seed: int = 1) -> list[bytes]:
    """In order, group by group."""
    chance = random.Random(seed)
    return [
        beginning + chance.randbytes(own)
        for beginning in [chance.randbytes(shared) for _ in range(groups)]
        for _ in range(of_each)
    ]


def shuffled(some: Sequence[bytes], seed: int = 2) -> list[bytes]:
    return random.Random(seed).sample(some, len(some))


def count(some: Sequence[bytes], lines_max: int = SHARD_LINES) -> Sharing:
    counter = SharingCounter(cache_bytes=CACHE, lines_max=lines_max, bytes_max=10**9)
    for prompt in some:
        counter.add(prompt, len(prompt) + 100)
    return counter.finish()


def estimate(some: Sequence[bytes], ranges: int = 1) -> CachedShare:
    step = -(-len(some) // ranges)
    return estimate_cached_share([count(some[at : at + step]) for at in range(0, len(some), step)])


def exact(some: Sequence[bytes]) -> float:
    return cached_bytes(some, cache_bytes=CACHE) / sum(map(len, some))


def exact_in_shards(some: Sequence[bytes]) -> float:
    shards = [some[at : at + SHARD_LINES] for at in range(0, len(some), SHARD_LINES)]
    return exact([prompt for shard in shards for prompt in sorted(shard)])


CASES = {
    "many groups, shuffled": shuffled(prompts(100, 10, 2_048, 200)),
    "groups that half fit the cache, shuffled": shuffled(prompts(40, 25, 2_048, 200)),
    "many groups, in order": prompts(100, 10, 2_048, 200),
    "few groups, shuffled": shuffled(prompts(4, 250, 2_048, 200)),
    "one beginning for all": shuffled(prompts(1, 1_000, 1_024, 300)),
    "nothing shared": prompts(1_000, 1, 1_000, 500),
    "documents under a common header": shuffled(
        [b"h" * 512 + prompt for prompt in prompts(60, 12, 3_584, 100)]
    ),
}


@pytest.mark.parametrize("some", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("ranges", [1, 3])
def test_each_share_is_that_of_an_exact_cache(some: list[bytes], ranges: int) -> None:
    found = estimate(some, ranges)
    # A range begins with nothing: what the one before it left in the cache it doesn't know.
    assert found.as_it_lies == pytest.approx(exact(some), abs=0.05)
    assert found.in_shards == pytest.approx(exact_in_shards(some), abs=0.07)
    assert found.whole_file == pytest.approx(exact(sorted(some)), abs=0.03)


def test_a_shuffled_file_of_many_groups_pays() -> None:
    assert estimate(CASES["many groups, shuffled"]).pays(GAIN_MIN)
    assert estimate(CASES["documents under a common header"]).pays(GAIN_MIN)


@pytest.mark.parametrize(
    "name",
    ["many groups, in order", "few groups, shuffled", "one beginning for all", "nothing shared"],
)
def test_what_is_in_order_or_shares_nothing_or_fits_the_cache_does_not(name: str) -> None:
    assert not estimate(CASES[name]).pays(GAIN_MIN)
    assert not estimate(CASES[name], ranges=3).pays(GAIN_MIN)


def test_an_empty_file_shares_nothing() -> None:
    assert estimate_cached_share([]) == CachedShare(as_it_lies=0, in_shards=0, whole_file=0)
    assert not estimate_cached_share([count([])]).pays(0.0)


def test_a_file_is_sorted_by_the_levels_that_part_its_groups() -> None:
    assert estimate(CASES["many groups, shuffled"]).levels == (2_048,)
    assert estimate(CASES["documents under a common header"]).levels == (512, 4_096)
    assert estimate(CASES["nothing shared"]).levels == ()


@pytest.mark.parametrize("some", CASES.values(), ids=CASES.keys())
def test_the_order_by_these_levels_caches_what_was_estimated(some: list[bytes]) -> None:
    found = estimate(some)
    if found.levels:
        ordered = sorted(some, key=lambda prompt: sort_key(prompt, found.levels))
        assert exact_in_shards(ordered) >= found.whole_file - 0.03


def test_a_shards_lines_are_counted_as_shards_are_cut() -> None:
    """Two lines of one beginning, in the cache no more: cached in order if one shard holds both."""
    one, other = prompts(1, 2, 256, 0), prompts(1, 1, 2 * CACHE, 0, seed=5)
    some = [one[0], *other, one[1]]
    assert count(some, lines_max=3).cached_in_shards == 256
    assert count(some, lines_max=2).cached_in_shards == 0
    by_bytes = SharingCounter(cache_bytes=CACHE, lines_max=9, bytes_max=2 * CACHE + 300)
    for prompt in some:
        by_bytes.add(prompt, len(prompt))
    assert by_bytes.finish().cached_in_shards == 0


beginnings = st.sampled_from([bytes([letter]) * 256 for letter in b"abcdefgh"])
some_prompts = st.lists(
    st.tuples(beginnings, beginnings, st.integers(0, 700)).map(
        lambda parts: (parts[0] + parts[1])[: 100 + parts[2]]
    ),
    max_size=40,
)


@given(some_prompts, st.integers(1, 6))
def test_ranges_merge_into_what_the_file_is_as_a_whole(some: list[bytes], ranges: int) -> None:
    """Few keys are known exactly, however the file is cut."""
    step = max(1, -(-len(some) // ranges))
    parts = [count(some[at : at + step]) for at in range(0, len(some), step)]
    whole = estimate_cached_share([count(some)])
    merged = estimate_cached_share(parts)
    assert merged.levels == whole.levels
    assert merged.whole_file == pytest.approx(whole.whole_file)
    assert merged.as_it_lies <= whole.as_it_lies


@given(some_prompts)
def test_more_order_never_caches_less(some: list[bytes]) -> None:
    found = estimate_cached_share([count(some, lines_max=5)])
    assert 0 <= found.as_it_lies <= found.in_shards <= found.whole_file <= 1


@given(some_prompts)
def test_each_level_counts_the_prompts_that_reach_it_and_their_keys(some: list[bytes]) -> None:
    for depth, level in enumerate(count(some).levels):
        keys = [prefix_keys(prompt)[depth] for prompt in some if len(prompt) >= LEVELS[depth]]
        assert (level.reached, level.distinct) == (len(keys), len(set(keys)))


def _sketch(keys: set[int]) -> LevelKeys:
    smallest = b"".join(key.to_bytes(4) for key in sorted(map(spread, keys))[:SKETCH_KEYS])
    return LevelKeys(reached=len(keys), distinct=len(keys), smallest=smallest)


@settings(max_examples=20)
@given(st.integers(0, 2**20), st.sampled_from([0, 300, 3_000]), st.integers(2, 8))
def test_the_distinct_keys_of_many_ranges_are_estimated(
    seed: int, common: int, ranges: int
) -> None:
    chance = random.Random(seed)
    shared = {chance.getrandbits(32) for _ in range(common)}
    sets = [shared | {chance.getrandbits(32) for _ in range(2_000)} for _ in range(ranges)]
    true = len(set[int]().union(*sets))
    # Five standard deviations of a bottom-k sketch.
    assert distinct_keys([_sketch(keys) for keys in sets]) == pytest.approx(true, rel=0.22)


def test_the_cache_is_measured_in_bytes_of_prompts() -> None:
    unknown = Model(id="m", pool="m", source="s", endpoints=("/v1/completions",), context_tokens=9)
    assert cache_bytes(unknown) == 65_536 * 2
    nowhere = replace(unknown, instance_types=("ml.unknown.large",))
    assert cache_bytes(nowhere) == cache_bytes(unknown)
