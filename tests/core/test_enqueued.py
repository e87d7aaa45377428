"""Enqueued tokens: what batches hold, and the sentence that refuses more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.enqueued import (
    BYTES_A_TOKEN,
    Enqueued,
    estimate_tokens,
    held_tokens,
    over_limit,
)

COUNTS = st.integers(0, 10**9)


def _batch(status: BatchStatus, **tokens: int) -> Batch:
    return Batch(
        id="batch_1", account_id="a", input_file_id="f", input_key="k", input_bytes=1, endpoint="/",
        completion_window="24h", created_at=0, expires_at=1, status=status, enqueued_tokens=tokens,
    )  # fmt: skip


def test_every_byte_counts_and_no_tokens_are_lost_by_splitting() -> None:
    assert estimate_tokens(0) == 0
    assert estimate_tokens(1) == 1
    assert estimate_tokens(4_000) == 1_000
    assert 2 * estimate_tokens(4_001) >= estimate_tokens(8_002)
    assert BYTES_A_TOKEN == 4


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(1, 10**9)), max_size=8))
def test_what_is_given_back_is_what_was_held(holds: list[dict[str, int]]) -> None:
    row = Enqueued(account_id="a")
    for tokens in holds:
        row = row.held(tokens)
    assert sum(row.tokens.values()) == sum(sum(tokens.values()) for tokens in holds)
    for tokens in reversed(holds):
        row = row.given_back(tokens)
    assert row == Enqueued(account_id="a")


def test_a_batch_holds_its_tokens_until_it_has_ended() -> None:
    batches = [_batch(status, one=10, two=1) for status in BatchStatus]
    open_ones = [batch for batch in batches if not batch.is_terminal]
    assert held_tokens("one", batches) == 10 * len(open_ones)
    assert held_tokens("two", batches) == len(open_ones)
    assert held_tokens("three", batches) == 0


@given(wanted=COUNTS, held=COUNTS, limit=COUNTS)
def test_more_than_the_limit_is_refused_and_no_less(wanted: int, held: int, limit: int) -> None:
    refusal = over_limit(model="m", wanted=wanted, held=held, limit=limit)
    assert (refusal is None) == (wanted + held <= limit)


def test_a_refusal_has_the_figure_the_limit_and_what_would_help() -> None:
    waits = over_limit(model="m", wanted=2_000, held=9_000, limit=10_000)
    assert waits
    for words in ("2,000 tokens for m", "9,000 are enqueued", "limit is 10,000", "Wait", "cancel"):
        assert words in waits
    never = over_limit(model="m", wanted=12_000, held=0, limit=10_000)
    assert never
    assert "Split the file" in never
    assert "Wait" not in never
