"""Counts of request lines and of tokens. Both add up; neither is ever negative."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Request lines of a batch, a run or a shard. `completed + failed <= total`."""

    total: int = 0
    completed: int = 0
    failed: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            total=self.total + other.total,
            completed=self.completed + other.completed,
            failed=self.failed + other.failed,
        )

    @property
    def finished(self) -> int:
        return self.completed + self.failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens, as the engine counted them. `cached_tokens` is a part of `input_tokens`, `reasoning_tokens` of
    `output_tokens`."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            input_tokens=self.input_tokens + other.input_tokens,
            cached_tokens=self.cached_tokens + other.cached_tokens,
            output_tokens=self.output_tokens + other.output_tokens,
            reasoning_tokens=self.reasoning_tokens + other.reasoning_tokens,
        )

    @classmethod
    def sum(cls, usages: Iterable[Usage]) -> Usage:
        """As `+` would say it, for thousands of them."""
        read = cached = written = reasoned = 0
        for each in usages:
            read += each.input_tokens
            cached += each.cached_tokens
            written += each.output_tokens
            reasoned += each.reasoning_tokens
        return cls(
            input_tokens=read, cached_tokens=cached, output_tokens=written, reasoning_tokens=reasoned
        )  # fmt: skip

    @property
    def total_tokens(self) -> int:
        return self.input_tokens + self.output_tokens
