"""The limit on nesting is exact, looks at no byte twice, and takes no bracket in a text for one."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.wire.nesting import NESTING_MAX, is_too_deep

VALUES = st.recursive(
    st.none() | st.text('[]{}"\\ab', max_size=20) | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text('[]{}"\\', max_size=5), inner, max_size=4),
)  # fmt: skip


def nested(levels: int, inner: str = "1") -> bytes:
    """Arrays and objects by turns."""
    opened = "".join('{"a":' if level % 2 else "[" for level in range(levels))
    closed = "".join("}" if level % 2 else "]" for level in reversed(range(levels)))
    return f"{opened}{inner}{closed}".encode()


@pytest.mark.parametrize(
    ("levels", "deep"), [(NESTING_MAX, False), (NESTING_MAX + 1, True), (200_000, True)]
)
def test_the_limit_is_exact(levels: int, deep: bool) -> None:
    assert is_too_deep(nested(levels)) is deep


@given(value=VALUES, levels=st.integers(0, 30))
def test_the_depth_is_what_a_decoder_finds(value: Any, levels: int) -> None:
    """Whatever lies at the bottom, and whatever stands in texts beside it."""
    padding = json.dumps("[" * NESTING_MAX + "{" * NESTING_MAX)
    levels += NESTING_MAX - 30
    line = nested(levels, f"[{padding},{json.dumps(value)}]")
    assert is_too_deep(line) is (levels + 1 + _depth(value) > NESTING_MAX)


def _depth(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + max(map(_depth, value.values()), default=0)
    return 1 + max(map(_depth, value), default=0) if isinstance(value, list) else 0


@pytest.mark.parametrize(
    "line",
    [b'"' + b"[" * 10_000, b'"' + b'\\"' * 500_000 + b"[" * 1_000, b'"\\' + b"[" * 2_000, b"]" * 5_000 + b"[" * 10,
     b'"["' * 100_000, b'{"a":"' + b"{" * 100_000 + b'"}'],
)  # fmt: skip
def test_brackets_in_texts_that_end_or_do_not_are_no_levels(line: bytes) -> None:
    """The second and the fifth would take hours if each quote were a new beginning."""
    assert not is_too_deep(line)


def test_whatever_passes_can_be_decoded_from_deep_within_a_program() -> None:
    """With room for the frames of a server, an event loop and an engine beneath it."""

    def below(frames: int) -> object:
        return below(frames - 1) if frames else json.loads(nested(NESTING_MAX))

    assert below(sys.getrecursionlimit() - NESTING_MAX - 250) is not None
