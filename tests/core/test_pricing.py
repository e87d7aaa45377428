"""What usage costs, to the micro-dollar."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.pricing import (
    CENT,
    FREE,
    Prices,
    batch_prices,
    cost_microdollars,
    picodollars,
)
from offpeak.core.usage import Usage

PRICE = st.integers(0, 100_000_000)
TOKENS = st.integers(0, 10**12)
PRICES = st.builds(
    Prices, input=PRICE, output=PRICE, cached_input_write=PRICE, cached_input_read=PRICE,
    basis=st.sampled_from(["base", "batch"]),
)  # fmt: skip


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    tokens = draw(TOKENS)
    return Usage(
        input_tokens=tokens, cached_tokens=draw(st.integers(0, tokens)), output_tokens=draw(TOKENS)
    )


# seeds/exxa-models-pricing.txt: batch prices already.
EXXA_8B = Prices(
    input=100_000, output=150_000, cached_input_write=100_000, cached_input_read=20_000,
    basis="batch",
)  # fmt: skip
EXXA_70B = Prices(
    input=300_000, output=500_000, cached_input_write=300_000, cached_input_read=60_000,
    basis="batch",
)  # fmt: skip


def test_the_worked_example_of_nebius_13_and_40_cents_become_7_and_20() -> None:
    base = Prices(
        input=130_000, output=400_000, cached_input_write=130_000, cached_input_read=10_000
    )
    assert batch_prices(base) == Prices(
        input=70_000, output=200_000, cached_input_write=70_000, cached_input_read=10_000,
        basis="batch",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("base", "discounted"), [(0, 0), (1, 10_000), (20_000, 10_000), (20_001, 20_000)]
)
def test_a_discounted_price_is_rounded_up_to_the_cent(base: int, discounted: int) -> None:
    prices = Prices(input=base, output=0, cached_input_write=0, cached_input_read=0)
    assert batch_prices(prices).input == discounted


@given(PRICES)
def test_a_discounted_price_is_half_and_less_than_a_cent_more(prices: Prices) -> None:
    if prices.basis == "base":
        for name in ("input", "output", "cached_input_write", "cached_input_read"):
            above = getattr(batch_prices(prices), name) - Fraction(getattr(prices, name), 2)
            assert 0 <= above < CENT
            assert getattr(batch_prices(prices), name) % CENT == 0


@given(PRICES)
def test_a_price_is_discounted_once(prices: Prices) -> None:
    once = batch_prices(prices)
    assert batch_prices(once) == once
    assert prices.basis == "base" or once == prices


def test_exxas_table_a_million_tokens_half_of_them_cached() -> None:
    usage = Usage(input_tokens=2_000_000, cached_tokens=1_000_000, output_tokens=1_000_000)
    # $0.10 for the uncached million, $0.02 for the cached, $0.15 for the answers
    assert cost_microdollars(batch_prices(EXXA_8B), usage) == 270_000
    assert cost_microdollars(batch_prices(EXXA_70B), usage) == 860_000


@pytest.mark.parametrize(
    ("tokens", "cost"), [(0, 0), (1, 0), (2, 1), (3, 2), (4, 2), (5, 2), (6, 3), (7, 4)]
)
def test_halves_of_a_microdollar_go_to_the_even_one(tokens: int, cost: int) -> None:
    half = Prices(input=500_000, output=0, cached_input_write=0, cached_input_read=0)
    assert cost_microdollars(half, Usage(input_tokens=tokens)) == cost


@given(PRICES, usages())
def test_a_cost_is_the_exact_one_rounded_and_never_negative(prices: Prices, usage: Usage) -> None:
    exact = Fraction(picodollars(prices, usage), 1_000_000)
    assert cost_microdollars(prices, usage) == round(exact) >= 0


@given(PRICES, usages(), usages())
def test_before_rounding_costs_add_up(prices: Prices, some: Usage, more: Usage) -> None:
    assert picodollars(prices, some + more) == picodollars(prices, some) + picodollars(prices, more)


@given(PRICES, usages(), usages())
def test_more_usage_never_costs_less(prices: Prices, some: Usage, more: Usage) -> None:
    assert cost_microdollars(prices, some + more) >= cost_microdollars(prices, some)


@given(usages())
def test_reasoning_is_output_and_costs_nothing_more(usage: Usage) -> None:
    thought = usage + Usage(reasoning_tokens=usage.output_tokens)
    assert picodollars(EXXA_8B, thought) == picodollars(EXXA_8B, usage)
    assert picodollars(FREE, usage) == 0
