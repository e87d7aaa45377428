"""Cuts a run's lines into shards: every line once, in order, within the model's limits.

Lines come in spans, stretches of consecutive lines that validation measured, and a span is never cut again, so that
planning reads no request. Spans are a small and even part of a shard, so that shards come out full.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from offpeak.core.catalogue import Model
from offpeak.core.shard import PlannedShard, Segment

SPAN_LINES_MAX = 256
SPANS_A_SHARD = 16
SEGMENTS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SpanLimits:
    """A span has at most this many lines and, unless it is a single line, bytes."""

    lines_max: int
    bytes_max: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardLimits:
    """A shard's limits. Only a span that alone is over `bytes_max` or `lines_max` breaks one, in a shard of its own."""

    lines_max: int
    bytes_max: int
    segments_max: int = SEGMENTS_MAX


def span_limits(model: Model) -> SpanLimits:
    """As many lines as go evenly into a full shard: 250 where a shard takes 2,000."""
    spans = -(-model.shard_lines_max // SPAN_LINES_MAX)
    return SpanLimits(
        lines_max=max(1, model.shard_lines_max // max(1, spans)),
        bytes_max=model.shard_bytes_max // SPANS_A_SHARD,
    )


def shard_limits(model: Model) -> ShardLimits:
    return ShardLimits(lines_max=model.shard_lines_max, bytes_max=model.shard_bytes_max)


def cut_shards(spans: Iterable[Segment], limits: ShardLimits) -> Iterator[PlannedShard]:
    """The shards of one model's spans, which come in line order. Neighbours become one segment."""
    cutter = ShardCutter(limits)
    for span in spans:
        if full := cutter.add(span):
            yield full
    if last := cutter.finish():
        yield last


class ShardCutter:
    """The same, fed span by span, for whoever walks the spans of several models at once."""

    def __init__(self, limits: ShardLimits) -> None:
        self._limits = limits
        self._segments: list[Segment] = []
        self._lines = 0
        self._bytes = 0
        self.shards = 0
        """How many shards have come out."""

    def add(self, span: Segment) -> PlannedShard | None:
        """The shard that is full now, because the span has no room in it and begins the next one."""
        full = None if self._has_room(span) else self.finish()
        if self._continues(span):
            last = self._segments[-1]
            self._segments[-1] = replace(last, stop=span.stop, lines=last.lines + span.lines)
        else:
            self._segments.append(span)
        self._lines += span.lines
        self._bytes += span.stop - span.start
        return full

    def finish(self) -> PlannedShard | None:
        """The shard of what has been added since the last one came out, if anything has."""
        if not self._segments:
            return None
        shard = PlannedShard(number=self.shards, segments=tuple(self._segments))
        self._segments, self._lines, self._bytes = [], 0, 0
        self.shards += 1
        return shard

    def _has_room(self, span: Segment) -> bool:
        limits = self._limits
        return (
            self._lines + span.lines <= limits.lines_max
            and self._bytes + span.stop - span.start <= limits.bytes_max
            and (len(self._segments) < limits.segments_max or self._continues(span))
        )

    def _continues(self, span: Segment) -> bool:
        if not self._segments:
            return False
        last = self._segments[-1]
        return (last.key, last.stop, last.first_line + last.lines) == (
            span.key,
            span.start,
            span.first_line,
        )
