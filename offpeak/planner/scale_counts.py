"""From the tokens of some lines, drawn at random, to those of all: by their bytes, with the error of the sample.

The ratio estimator of survey sampling (Cochran, Sampling Techniques, 3rd ed., ch. 6): r = Σ tokens ÷ Σ bytes, its
variance (1 − n/N) ÷ (n · b̄²) · Σ (tokensᵢ − r · bytesᵢ)² ÷ (n − 1). Its bias is of the order of 1/n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

DEVIATIONS = 2.0
"""Standard errors to either side: 95 of 100 such ranges hold the truth."""
LINES_MIN = 30
"""Fewer lines, unless they are all, say too little of how much lines differ."""


@dataclass(frozen=True, slots=True)
class CountedLine:
    """A request line's bytes in the file, and its input tokens."""

    bytes: int
    tokens: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Input tokens per byte of a request line, as `lines` of them have it."""

    low: float
    expected: float
    high: float
    lines: int


def scale_counts(counted: Sequence[CountedLine], lines: int) -> Counted | None:
    """Of a sample out of `lines`; None where it is too small."""
    n, in_all = len(counted), max(lines, len(counted))
    if n == 0 or (n < LINES_MIN and n < in_all):
        return None
    sampled_bytes = sum(line.bytes for line in counted)
    ratio = sum(line.tokens for line in counted) / sampled_bytes
    squares = sum((line.tokens - ratio * line.bytes) ** 2 for line in counted)
    mean_bytes = sampled_bytes / n
    error = sqrt((1 - n / in_all) * squares / max(1, n - 1) / n) / mean_bytes
    spread = DEVIATIONS * error
    return Counted(low=max(0.0, ratio - spread), expected=ratio, high=ratio + spread, lines=n)
