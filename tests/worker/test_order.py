"""The order of a shard's lines: groups stay together, nothing is lost, and no engine's cache could ask for better."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from itertools import groupby, pairwise
from statistics import mean

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.wire.prompts import prompt_reader
from offpeak.worker.order import PILOT_LINES_MAX, NumberedLine, order_lines
from tests.planner.lru_cache import cached_bytes

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"
CACHE = 40_000


def line(number: int, system: str, user: str, max_tokens: int | None = None) -> NumberedLine:
    body = {
        "model": "m",
        "messages": [{"role": "system", "content": system}, {"role": "user", "content": user}],
        **({} if max_tokens is None else {"max_tokens": max_tokens}),
    }
    return number, json.dumps({"custom_id": f"c{number}", "body": body}).encode()


def shared_prefixes(
    groups: int,
    of_each: int,
) -> list[NumberedLine]:
    """Shuffled, as long as in the benchmark of the worker: 1,500 tokens shared, 57 of their own."""
    chance = random.Random(7)
    systems = [chance.randbytes(3_000).hex() for _ in range(groups)]
    asked = [system for system in systems for _ in range(of_each)]
    chance.shuffle(asked)
    return [
        line(number, system, chance.randbytes(115).hex(), chance.choice([8, 16, 64]))
        for number, system in enumerate(asked, 1)
    ]


def prompts(lines: Sequence[NumberedLine]) -> list[bytes]:
    return [prompt_reader(CHAT).read(raw) for _, raw in lines]


def share(some: Sequence[bytes]) -> float:
    return cached_bytes(some, cache_bytes=CACHE, block_bytes=256) / sum(map(len, some))


def cached_share(lines: Sequence[NumberedLine]) -> float:
    return share(prompts(lines))


def sorted_share(lines: Sequence[NumberedLine]) -> float:
    return share(sorted(prompts(lines)))


def systems(lines: Sequence[NumberedLine]) -> list[str]:
    return [json.loads(raw)["body"]["messages"][0]["content"] for _, raw in lines]


texts = st.lists(st.sampled_from(["a" * 300, "b" * 300, "c" * 90, ""]), max_size=5).map("".join)
some_lines = st.lists(st.tuples(texts, texts, st.sampled_from([None, 1, 99])), max_size=30).map(
    lambda found: [line(number, *each) for number, each in enumerate(found)]
)


@given(some_lines, st.one_of(st.none(), st.just("seed")), st.sampled_from([CHAT, COMPLETIONS]))
def test_every_line_comes_once(lines: list[NumberedLine], pilot: str | None, endpoint: str) -> None:
    assert sorted(order_lines(lines, endpoint, pilot=pilot)) == lines


@settings(deadline=None)
@given(some_lines)
def test_no_line_is_read_more_than_in_sorted_order(lines: list[NumberedLine]) -> None:
    """In blocks of a cache that holds nothing but the longest prompt."""
    some = prompts(order_lines(lines, CHAT))
    room = max(map(len, some), default=0) + 64
    cached = cached_bytes(some, cache_bytes=room)
    # Beginnings under 256 bytes don't count; nor do they at a seam between groups.
    assert cached >= cached_bytes(sorted(some), cache_bytes=room) - 256 * len(some)


def test_shuffled_groups_are_cached_as_sorted_ones_are() -> None:
    lines = shared_prefixes(200, 10)
    assert cached_share(lines) < 0.1
    assert cached_share(order_lines(lines, CHAT)) >= sorted_share(lines) - 0.001


def test_groups_are_contiguous_and_come_as_their_first_lines_do() -> None:
    lines = shared_prefixes(20, 6)
    ordered = systems(order_lines(lines, CHAT))
    groups = [system for system, _ in groupby(ordered)]
    assert groups == list(dict.fromkeys(systems(lines)))


def test_groups_within_groups_stay_together() -> None:
    chance = random.Random(3)
    header = "h" * 2_000
    documents = [header + chance.randbytes(1_500).hex() for _ in range(12)]
    asked = [(document, f"question {n}") for n in range(9) for document in documents]
    lines = [line(number, *each) for number, each in enumerate(asked)]
    ordered = systems(order_lines(lines, CHAT))
    assert len([document for document, _ in groupby(ordered)]) == len(documents)


def test_lines_that_share_nothing_stay_where_they_are() -> None:
    chance = random.Random(5)
    lines = [
        line(n, chance.randbytes(300).hex(), chance.randbytes(chance.randrange(900)).hex(), n % 7 + 1)
        for n in range(300)
    ]  # fmt: skip
    assert order_lines(lines, CHAT) == lines
    assert order_lines(lines, "/v1/embeddings") == lines
    assert order_lines([], CHAT) == []


def test_a_file_in_order_stays_in_the_order_of_its_groups() -> None:
    lines = sorted(shared_prefixes(20, 6), key=lambda each: systems([each]))
    assert systems(order_lines(lines, CHAT)) == systems(lines)


def test_in_a_group_those_with_the_most_to_write_come_first() -> None:
    tokens = [5, 80, 20, 80, 1]
    lines = [line(number, "s" * 1_000, "?" * 9, most) for number, most in enumerate(tokens)]
    assert [number for number, _ in order_lines(lines, CHAT)] == [1, 3, 2, 0, 4]


def test_tools_and_images_make_groups_too() -> None:
    def call(number: int, tools: str, image: str) -> NumberedLine:
        content = [
            {"type": "image_url", "image_url": {"url": image}},
            {"type": "text", "text": str(number)},
        ]
        body = {
            "messages": [{"role": "user", "content": content}],
            "tools": [{"type": "function", "function": {"name": tools}}],
        }
        return number, json.dumps({"body": body}).encode()  # fmt: skip

    lines = [call(n, "ab"[n % 2] * 300, "data:" + "xyz"[n % 3] * 400) for n in range(24)]
    ordered = [(number % 2, number % 3) for number, _ in order_lines(lines, CHAT)]
    assert len(list(groupby(ordered))) == 6
    assert len(list(groupby(tools for tools, _ in ordered))) == 2


def test_a_tree_as_deep_as_the_shard_is_long_is_no_trouble() -> None:
    lines = [line(number, "d" * (300 + 64 * number), "?") for number in range(500)]
    assert sorted(order_lines(lines, CHAT)) == lines


# ── the pilot ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_pilot_costs_no_more_than_a_point_of_the_cached_share() -> None:
    lines = shared_prefixes(200, 10)
    piloted = order_lines(lines, CHAT, pilot="batch_1.0")
    assert sorted(piloted) == lines
    assert cached_share(piloted) >= sorted_share(lines) - 0.01
    assert piloted != order_lines(lines, CHAT)


def test_the_same_seed_draws_the_same_pilot_and_another_another() -> None:
    lines = shared_prefixes(100, 10)
    assert order_lines(lines, CHAT, pilot="a") == order_lines(lines, CHAT, pilot="a")
    assert order_lines(lines, CHAT, pilot="a") != order_lines(lines, CHAT, pilot="b")


def test_without_groups_lines_are_drawn_one_by_one() -> None:
    chance = random.Random(1)
    lines = [line(number, chance.randbytes(400).hex(), "?") for number in range(2_000)]
    piloted = order_lines(lines, CHAT, pilot="seed")
    ahead = [number for number, _ in piloted[:PILOT_LINES_MAX]]
    assert ahead == sorted(ahead)
    assert [number for number, _ in piloted[PILOT_LINES_MAX:]] == sorted(
        set(range(2_000)) - set(ahead)
    )
    assert 5 < sum(after == before + 1 for before, after in pairwise(ahead)) < 100


def test_over_many_seeds_every_line_is_in_the_pilot_as_often() -> None:
    """So that a mean over the pilot is right on average: of groups of one to forty lines, with answers to match."""
    chance = random.Random(9)
    sizes = [chance.randint(1, 40) for _ in range(60)]
    lines = [
        line(number, f"{group:04}" * 200, "?", size)
        for number, (group, size) in enumerate(
            (group, size) for group, size in enumerate(sizes) for _ in range(size)
        )
    ]  # fmt: skip
    answer = {number: _max_tokens(raw) for number, raw in lines}
    sums, counts = 0.0, 0
    for seed in range(80):
        piloted = order_lines(lines, CHAT, pilot=str(seed))
        sums += sum(answer[number] for number, _ in piloted[:200])
        counts += 200
    assert sums / counts == pytest.approx(mean(answer.values()), rel=0.06)


def _max_tokens(raw: bytes) -> int:
    tokens: int = json.loads(raw)["body"]["max_tokens"]
    return tokens


def test_a_small_shard_has_no_pilot() -> None:
    lines = shared_prefixes(50, 8)
    assert order_lines(lines, CHAT, pilot="seed") == order_lines(lines, CHAT)
