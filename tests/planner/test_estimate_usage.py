"""Tokens of lines that have not run: from what the account's batches took, else from a prior that says so."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.ledger import Entry, EntryKind, ModelUsage
from offpeak.core.lengths import bucket_of
from offpeak.core.usage import Usage
from offpeak.planner.estimate_usage import (
    PRIOR,
    Ratio,
    Work,
    estimate_usage,
    ratios_of,
    with_lengths,
)

WORKS = st.builds(
    Work, lines=st.integers(0, 10**7), input_bytes=st.integers(0, 10**10),
    completion_tokens=st.integers(0, 10**11),
)  # fmt: skip


def settled(requests: int, input_tokens: int, output_tokens: int, model: str = "red") -> Entry:
    used = ModelUsage(
        model=model, requests=requests, input_bytes=1_000 * requests, cost_microdollars=0,
        usage=Usage(input_tokens=input_tokens, output_tokens=output_tokens),
    )  # fmt: skip
    return Entry(
        account_id="a", id="settle:b", kind=EntryKind.SETTLE, microdollars=0, at=0, models=(used,)
    )


@given(WORKS)
def test_no_answer_is_over_its_limit_and_the_range_is_in_order(work: Work) -> None:
    low, expected, high = (
        estimate_usage(work, ratio) for ratio in (PRIOR.low, PRIOR.expected, PRIOR.high)
    )
    assert low.input_tokens <= expected.input_tokens <= high.input_tokens
    assert low.output_tokens <= expected.output_tokens <= high.output_tokens
    assert high.output_tokens == work.completion_tokens


def test_embeddings_have_no_answers() -> None:
    work = Work(lines=1_000, input_bytes=4_000, completion_tokens=0)
    assert estimate_usage(work, PRIOR.expected) == Usage(input_tokens=1_000)


def test_the_accounts_own_batches_replace_the_prior() -> None:
    ratios = ratios_of("red", [settled(100, 20_000, 3_000), settled(300, 90_000, 6_000)])
    assert (ratios.basis, ratios.requests) == ("measured", 400)
    assert ratios.expected == Ratio(input_tokens_a_byte=110_000 / 400_000, output_tokens=22.5)
    assert ratios.low == Ratio(input_tokens_a_byte=0.2, output_tokens=20)
    assert ratios.high == Ratio(input_tokens_a_byte=0.3, output_tokens=30)


def test_too_few_requests_or_those_of_another_model_say_nothing() -> None:
    assert ratios_of("red", []) is PRIOR
    assert ratios_of("red", [settled(99, 1, 1)]) is PRIOR
    assert ratios_of("red", [settled(19, 1, 1)] * 10) is PRIOR
    assert ratios_of("red", [settled(500, 1, 1, "blue")]) is PRIOR


@given(st.lists(st.tuples(*[st.integers(20, 10**6)] * 3), min_size=5, max_size=20))
def test_measured_ratios_lie_between_their_extremes(batches: list[tuple[int, int, int]]) -> None:
    ratios = ratios_of("red", [settled(*batch) for batch in batches])
    slack = 1 + 1e-9
    for name in ("input_tokens_a_byte", "output_tokens"):
        low, expected, high = (getattr(r, name) for r in (ratios.low, ratios.expected, ratios.high))
        assert low <= expected * slack
        assert expected <= high * slack


def with_answers(*lengths: tuple[int, int, int, int], endpoint: str = "/v1/completions") -> Entry:
    entry = settled(200, 20_000, 3_000)
    (used,) = entry.models
    return replace(entry, models=(replace(used, endpoint=endpoint, lengths=lengths),))


def test_answers_are_as_long_as_those_of_lines_that_looked_alike() -> None:
    short, long = (*bucket_of(100, 1_000), 90, 900), (*bucket_of(4_000, 1_000), 110, 220_000)
    entries = [with_answers(short, long)]
    ratios = ratios_of("red", entries)

    def expected(*drawn: tuple[int, int], endpoint: str = "/v1/completions") -> float:
        found = with_lengths(ratios, "red", endpoint, entries, drawn)
        assert found.low.output_tokens <= found.expected.output_tokens <= found.high.output_tokens
        return found.expected.output_tokens

    assert expected((100, 1_000)) == 10
    assert expected((4_000, 1_000)) == 2_000
    assert expected((100, 1_000), (4_000, 1_000)) == 1_005
    assert expected((1, 10**6)) == expected() == (900 + 220_000) / 200
    assert expected((100, 1_000), endpoint="/v1/responses") == ratios.expected.output_tokens


def test_a_few_answers_say_too_little() -> None:
    entries = [with_answers((*bucket_of(100, 1_000), 99, 990))]
    ratios = ratios_of("red", entries)
    assert with_lengths(ratios, "red", "/v1/completions", entries, [(100, 1_000)]) == ratios
