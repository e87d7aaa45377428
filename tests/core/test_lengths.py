"""How long answers are, in few numbers."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.lengths import BUCKETS_MAX, bucket_of, mean_length, together

counts = st.tuples(
    st.integers(0, 18), st.integers(0, 14), st.integers(1, 10**6), st.integers(1, 10**9)
)


def test_lines_that_look_alike_share_a_bucket() -> None:
    assert bucket_of(500, 2_000) == bucket_of(400, 1_500)
    assert bucket_of(500, 2_000) != bucket_of(4_000, 2_000)
    assert bucket_of(500, 2_000) != bucket_of(500, 40_000)
    assert bucket_of(0, 100) == bucket_of(-3, 100)


def test_means_are_of_a_bucket_or_of_all() -> None:
    lengths = ((9, 6, 10, 1_000), (12, 6, 30, 9_000))
    assert mean_length(lengths, (9, 6)) == 100
    assert mean_length(lengths, (1, 1)) is None
    assert mean_length(lengths) == 250
    assert mean_length(()) is None


@given(st.lists(counts, max_size=12), st.lists(counts, max_size=12))
def test_together_nothing_is_lost_but_the_rarest(one: list, other: list) -> None:  # type: ignore[type-arg]
    every = together(tuple(one), tuple(other), most=100)
    assert sum(each[2] for each in every) == sum(each[2] for each in (*one, *other))
    assert sum(each[3] for each in every) == sum(each[3] for each in (*one, *other))
    kept = together(tuple(one), tuple(other))
    assert len(kept) <= BUCKETS_MAX
    assert kept == every[: len(kept)]
