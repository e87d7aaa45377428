"""Tokens of all lines from those of some: by bytes, no further off than the sample says."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from offpeak.planner.scale_counts import LINES_MIN, CountedLine, scale_counts

LINES = st.lists(
    st.builds(CountedLine, st.integers(1, 10**6), st.floats(0, 10**6)), min_size=LINES_MIN
)


@given(LINES, st.integers(0, 10**7))
def test_the_range_holds_what_is_expected_and_never_falls_below_zero(
    counted: list[CountedLine], lines: int
) -> None:
    found = scale_counts(counted, lines)
    assert found is not None
    assert 0 <= found.low <= found.expected <= found.high
    assert found.lines == len(counted)


@given(LINES)
def test_all_lines_are_no_sample_and_have_no_error(counted: list[CountedLine]) -> None:
    found = scale_counts(counted, len(counted))
    assert found is not None
    assert found.low == found.expected == found.high


def test_too_few_of_many_lines_say_nothing_and_all_of_few_do() -> None:
    few = [CountedLine(100, 25.0)] * (LINES_MIN - 1)
    assert scale_counts([], 0) is None
    assert scale_counts(few, LINES_MIN) is None
    assert scale_counts(few, len(few)) is not None


def test_most_ranges_hold_the_truth() -> None:
    random = Random(7)
    everything = []
    for _ in range(5_000):
        words = random.randint(5, 900)
        everything.append(CountedLine(150 + 5 * words, 12 + words * random.uniform(0.9, 1.6)))
    truth = sum(line.tokens for line in everything) / sum(line.bytes for line in everything)
    held = 0
    for _ in range(200):
        found = scale_counts(random.sample(everything, 100), len(everything))
        assert found is not None
        held += found.low <= truth <= found.high
    assert held > 180
