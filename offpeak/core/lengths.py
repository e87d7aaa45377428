"""How long answers are, by what their requests looked like: few numbers, which shards report and runs add up.

A bucket is a power of two of the completion limit, and a power of four of the request line's bytes. Model and endpoint
are the run's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

BUCKETS_MAX = 4
"""A run keeps those with the most answers; its rows stay small."""

LengthCount = tuple[int, int, int, int]
"""The limit's bucket, the line's bucket, answers, and their output tokens together."""
Lengths = tuple[LengthCount, ...]


def bucket_of(limit: int, line_bytes: int) -> tuple[int, int]:
    return max(0, limit).bit_length(), (max(0, line_bytes).bit_length() + 1) // 2


def together(*all_of: Lengths, most: int = BUCKETS_MAX) -> Lengths:
    """Added up, those with the most answers first; what is over `most` is forgotten."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for lengths in all_of:
        for limit, line, answers, tokens in lengths:
            before = found.get((limit, line), (0, 0))
            found[limit, line] = before[0] + answers, before[1] + tokens
    return of_counts(found, most=most)


def of_counts(
    counts: Mapping[tuple[int, int], tuple[int, int]], *, most: int = BUCKETS_MAX
) -> Lengths:
    """`counts` are answers and tokens by bucket."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1][0], item[0]))
    return tuple((*bucket, *numbers) for bucket, numbers in ordered[:most])


def mean_length(
    lengths: Iterable[LengthCount], bucket: tuple[int, int] | None = None
) -> float | None:
    """Output tokens of an answer: in this bucket, or in all. None where there are none."""
    mine = [each for each in lengths if bucket is None or each[:2] == bucket]
    answers = sum(each[2] for each in mine)
    return sum(each[3] for each in mine) / answers if answers else None
