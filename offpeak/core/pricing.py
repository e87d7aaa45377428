"""What a model's tokens cost. Money is whole micro-dollars: $0.13 per million tokens is 130,000."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from offpeak.core.usage import Usage

CENT = 10_000
TOKENS = 1_000_000

Basis = Literal["base", "batch"]
"""`base`: the price of a request that is answered at once, which a batch's discount is taken off. `batch`: already what
a batch pays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Micro-dollars per million tokens. An input token costs `cached_input_read` when it was found in the prefix cache,
    else `input`. One that is put there costs `cached_input_write`, which `models.toml` gives as the same: engines
    report what they read from the cache, not what they write."""

    input: int
    output: int
    cached_input_write: int
    cached_input_read: int
    basis: Basis = "base"


FREE = Prices(input=0, output=0, cached_input_write=0, cached_input_read=0)


def batch_prices(prices: Prices) -> Prices:
    """What a batch pays: half of a base price, each rounded up to the cent a million tokens; a batch price as it is.

    $0.13 / $0.40 becomes $0.07 / $0.20.
    """
    if prices.basis == "batch":
        return prices
    return replace(
        prices,
        input=_discounted(prices.input),
        output=_discounted(prices.output),
        cached_input_write=_discounted(prices.cached_input_write),
        cached_input_read=_discounted(prices.cached_input_read),
        basis="batch",
    )


def _discounted(price: int) -> int:
    return -(-price // (2 * CENT)) * CENT


def picodollars(prices: Prices, usage: Usage) -> int:
    """The exact cost, in millionths of a micro-dollar: it adds up, whatever usage is split into.

    Cached tokens are a part of the input and cost the read price. Engines don't count the others by whether they were
    written to the cache, so these cost the input price.
    """
    uncached = max(0, usage.input_tokens - usage.cached_tokens)
    read = usage.input_tokens - uncached
    return (
        uncached * prices.input
        + read * prices.cached_input_read
        + usage.output_tokens * prices.output
    )


def cost_microdollars(prices: Prices, usage: Usage) -> int:
    """The cost, rounded to the micro-dollar, halves to the even one: over many batches neither side gains by it.

    It is rounded once, for all that a batch used of a model; never for a request or a shard.
    """
    whole, rest = divmod(picodollars(prices, usage), TOKENS)
    above = 2 * rest - TOKENS
    return whole + (above > 0 or (above == 0 and whole % 2 == 1))
