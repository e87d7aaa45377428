"""Prefix keys: equal where prompts begin alike, and in an order that walks the tree of prefixes."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from offpeak.planner.prefix_keys import LEVELS, SORT_LEVELS_MAX, prefix_keys, sort_key

pieces = st.lists(st.sampled_from([b"a" * 256, b"b" * 256, b"c" * 100, b"d" * 900]), max_size=8)
prompts = pieces.map(b"".join)
levels = st.lists(st.sampled_from(LEVELS[:5]), min_size=1, max_size=SORT_LEVELS_MAX, unique=True)


@given(prompts, prompts)
def test_keys_are_equal_up_to_the_last_level_where_the_texts_are(one: bytes, other: bytes) -> None:
    for depth, (a, b) in enumerate(zip(prefix_keys(one), prefix_keys(other), strict=False)):
        assert (a == b) == (one[: LEVELS[depth]] == other[: LEVELS[depth]])


@given(prompts)
def test_a_prompt_has_a_key_for_each_level_that_it_reaches(prompt: bytes) -> None:
    assert len(prefix_keys(prompt)) == sum(level <= len(prompt) for level in LEVELS)


@given(st.lists(prompts, max_size=30), levels.map(sorted))
def test_sorting_by_the_key_brings_each_group_of_each_level_together(
    some: list[bytes], by: list[int]
) -> None:
    ordered = sorted(some, key=lambda prompt: sort_key(prompt, by))
    for level in by:
        of_level = [prompt[:level] for prompt in ordered if len(prompt) >= by[-1]]
        groups = sum(a != b for a, b in pairwise(of_level)) + bool(of_level)
        assert groups == len(set(of_level))


@given(prompts, levels.map(sorted))
def test_a_sort_key_is_64_bits(prompt: bytes, by: list[int]) -> None:
    assert 0 <= sort_key(prompt, by) < 2**64


def test_keys_are_the_same_in_every_process() -> None:
    script = (
        "from offpeak.planner.prefix_keys import prefix_keys, sort_key\n"
        "print(prefix_keys(b'x' * 1100), sort_key(b'x' * 1100, [256, 1024]))"
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", script], env={"PYTHONHASHSEED": seed}, check=True,
            capture_output=True,
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(answers) == 1
