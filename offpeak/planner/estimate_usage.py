"""How many tokens request lines will take, before they run: from bytes and completion limits.

No tokenizer is at hand where batches are planned. So tokens are reckoned by ratios: those that this account's settled
batches of the model had, or else a prior. The priors are conventions, not measurements: four bytes a token is usual for
English text, and few answers reach their limit. Where a sample of the lines was tokenised, for an estimate that a
caller asks for, its ratio takes the place of theirs for the input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Literal

from offpeak.core.ledger import Entry, ModelUsage
from offpeak.core.lengths import bucket_of, mean_length
from offpeak.core.usage import Usage
from offpeak.planner.scale_counts import Counted

REQUESTS_MIN = 100
"""Fewer settled requests than these, all together, say too little."""
REQUESTS_A_BATCH_MIN = 20
"""… and a batch of fewer says nothing about how much batches differ."""
Basis = Literal["measured", "prior"]
InputBasis = Literal["tokenised", "measured", "prior"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Lines for one model. `completion_tokens` is the sum of what they may generate at most."""

    lines: int
    input_bytes: int
    completion_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratio:
    """Tokens of the input per byte of a request line, and tokens of an answer."""

    input_tokens_a_byte: float
    output_tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """`requests` is how many were measured. `low` and `high` are the batches of the account that differed most."""

    low: Ratio
    expected: Ratio
    high: Ratio
    basis: Basis
    requests: int = 0


PRIOR = Ratios(
    low=Ratio(input_tokens_a_byte=1 / 6, output_tokens=50),
    expected=Ratio(input_tokens_a_byte=1 / 4, output_tokens=500),
    high=Ratio(input_tokens_a_byte=1 / 2, output_tokens=float("inf")),
    basis="prior",
)


def ratios_of(model: str, settled: Iterable[Entry]) -> Ratios:
    """What an account's settlements say of this model; the prior where they hold too few requests of it."""
    mine = [each for entry in settled for each in entry.models if each.model == model]
    mine = [each for each in mine if each.requests >= REQUESTS_A_BATCH_MIN and each.input_bytes]
    requests = sum(each.requests for each in mine)
    if requests < REQUESTS_MIN:
        return PRIOR
    each_ratio = [_ratio([each]) for each in mine]
    return Ratios(
        low=_combined(each_ratio, min), expected=_ratio(mine), high=_combined(each_ratio, max),
        basis="measured", requests=requests,
    )  # fmt: skip


def with_lengths(
    ratios: Ratios, model: str, endpoint: str, settled: Iterable[Entry],
    drawn: Iterable[tuple[int, int]],
) -> Ratios:  # fmt: skip
    """The same ratios, but the expected length of an answer as the account's settled batches of this endpoint had it
    for lines that look alike: `drawn` are completion limits (0 where none is said) and bytes of some lines."""
    lengths = tuple(
        count
        for entry in settled
        for each in entry.models
        if each.model == model and each.endpoint == endpoint
        for count in each.lengths
    )
    in_all = mean_length(lengths)
    if in_all is None or sum(count[2] for count in lengths) < REQUESTS_MIN:
        return ratios
    found = [mean_length(lengths, bucket_of(*line)) or in_all for line in drawn] or [in_all]
    mean = sum(found) / len(found)
    return replace(
        ratios, expected=replace(ratios.expected, output_tokens=mean), basis="measured",
        low=replace(ratios.low, output_tokens=min(mean, ratios.low.output_tokens)),
        high=replace(ratios.high, output_tokens=max(mean, ratios.high.output_tokens)),
        requests=max(ratios.requests, sum(count[2] for count in lengths)),
    )  # fmt: skip


def with_counted(ratios: Ratios, counted: Counted | None) -> Ratios:
    """The same ratios, but what was counted for the input; answers nobody can count before."""
    if counted is None:
        return ratios
    return replace(
        ratios,
        low=replace(ratios.low, input_tokens_a_byte=counted.low),
        expected=replace(ratios.expected, input_tokens_a_byte=counted.expected),
        high=replace(ratios.high, input_tokens_a_byte=counted.high),
    )


def _ratio(mine: Iterable[ModelUsage]) -> Ratio:
    together = list(mine)
    total = sum((each.usage for each in together), Usage())
    return Ratio(
        input_tokens_a_byte=total.input_tokens / sum(each.input_bytes for each in together),
        output_tokens=total.output_tokens / sum(each.requests for each in together),
    )


def _combined(ratios: Iterable[Ratio], choose: Callable[[Iterable[float]], float]) -> Ratio:
    found = list(ratios)
    return Ratio(
        input_tokens_a_byte=choose(each.input_tokens_a_byte for each in found),
        output_tokens=choose(each.output_tokens for each in found),
    )


def estimate_usage(work: Work, ratio: Ratio) -> Usage:
    """Never more output than the lines' limits allow; nothing is expected to be cached."""
    output = min(float(work.completion_tokens), work.lines * ratio.output_tokens)
    return Usage(
        input_tokens=round(work.input_bytes * ratio.input_tokens_a_byte),
        output_tokens=round(output),
    )
