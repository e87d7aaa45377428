"""The range reports of a batch as one: its lines in the order of the file, with the ids that come twice found out.

Memory holds the ids, 28 bytes a line while duplicates are looked for, and the duplicates; never the lines.
"""

from __future__ import annotations

import heapq
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate, chain, islice

from offpeak.core.batch import Batch
from offpeak.core.errors import Unavailable
from offpeak.core.layout import range_report_key
from offpeak.core.ports import Reader
from offpeak.core.request_line import LineError
from offpeak.core.shard import Segment
from offpeak.core.sharing import Sharing
from offpeak.steps.stored_report import StoredReport
from offpeak.wire.range_report import BadRecord, GoodSpan
from offpeak.wire.repeated_ids import Repeats, repeated_ids


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive good lines of the model with this id."""

    model: str
    segment: Segment


@dataclass(frozen=True, slots=True)
class RefusedLine:
    number: int
    error: LineError
    custom_id: str | None


@dataclass(frozen=True, slots=True)
class _Range:
    """A range's report, and the number in the file of its first line."""

    report: StoredReport
    first_line: int


class MergedReports:
    """Reads the trailers of `ranges` reports when made."""

    def __init__(self, batch: Batch, ranges: int, reader: Reader) -> None:
        self._batch = batch
        self._reader = reader
        self._ranges: list[_Range] = []
        self.lines = 0
        for index in range(ranges):
            report = StoredReport(range_report_key(batch.id, index), reader)
            self._ranges.append(_Range(report, self.lines + 1))
            self.lines += report.trailer.lines

    @property
    def models(self) -> frozenset[str]:
        return frozenset(model for each in self._ranges for model in each.report.trailer.models)

    def completion_tokens(self, model: str) -> int:
        """What all good lines of this model may generate at most."""
        return sum(each.report.trailer.completion_tokens_of(model) for each in self._ranges)

    def sharing(self, model: str) -> Sequence[Sharing]:
        """How far the prompts of this model begin alike, range by range."""
        of_ranges = (each.report.trailer.sharing_of(model) for each in self._ranges)
        return [sharing for sharing in of_ranges if sharing is not None]

    def invalid_lines(self, listed_max: int) -> tuple[Sequence[LineError], int]:
        """The first `listed_max` errors by line, duplicates among them, and how many there are."""
        duplicates = islice(chain.from_iterable(self._duplicates), listed_max)
        errors = heapq.merge(
            (_duplicate(line, first_line) for line, first_line in duplicates),
            self._listed_errors(),
            key=lambda error: error.line or 0,
        )
        total = sum(map(len, self._duplicates))
        total += sum(each.report.trailer.bad_lines for each in self._ranges)
        return list(islice(errors, listed_max)), total

    def pieces(self) -> Iterator[Span | RefusedLine]:
        """Every line, in order: good ones in spans, refused ones and later uses of a custom_id one by one."""
        # Of a batch that fails on them there are none, or nobody would ask for its pieces.
        skips = self._batch.on_invalid == "skip"
        for number, each in enumerate(self._ranges):
            models = each.report.trailer.models
            duplicates = _Ahead(self._duplicates[number] if skips else ())
            line, position = each.first_line, each.report.trailer.begin
            for record in each.report.records():
                next_line, stop = line + record.lines, position + record.bytes
                if isinstance(record, GoodSpan):
                    segment = Segment(
                        key=self._batch.input_key, start=position, stop=stop, first_line=line,
                        lines=record.lines, etag=self._batch.input_etag,
                    )  # fmt: skip
                    span = Span(models[record.model], segment)
                    if duplicates.line < next_line:
                        yield from _without(duplicates, span, record)
                    else:
                        yield span
                elif isinstance(record, BadRecord):
                    yield RefusedLine(line, _error(record, line), record.custom_id)
                line, position = next_line, stop

    @cached_property
    def _duplicates(self) -> Sequence[Repeats]:
        """Of each range, the good lines whose custom_id an earlier good line of the file has."""
        columns = [each.report.ids() for each in self._ranges]
        return repeated_ids(columns, [each.first_line for each in self._ranges])

    def _listed_errors(self) -> Iterator[LineError]:
        for each in self._ranges:
            line = each.first_line
            for record in each.report.records() if each.report.trailer.bad_lines else ():
                if isinstance(record, BadRecord):
                    yield _error(record, line)
                line += record.lines


class _Ahead:
    """The next duplicate, while its span is looked for."""

    def __init__(self, duplicates: Iterable[tuple[int, int]]) -> None:
        self._rest = iter(duplicates)
        self.move()

    def move(self) -> None:
        """To the one after it; past all lines when there is none."""
        self.line, self.first_line = next(self._rest, (sys.maxsize, 0))


def _without(duplicates: _Ahead, span: Span, record: GoodSpan) -> Iterator[Span | RefusedLine]:
    """The span, cut at its duplicates."""
    whole, index = span.segment, record.index
    if index is None:
        raise Unavailable("A range was validated by an earlier version. Create the batch again.")
    begins = list(accumulate(index.bytes, initial=whole.start))
    kept = 0  # lines up to here have been yielded
    while duplicates.line < whole.first_line + whole.lines:
        at = duplicates.line - whole.first_line
        if kept < at:
            yield _part(span, begins, kept, at)
        error = _duplicate(duplicates.line, duplicates.first_line)
        yield RefusedLine(duplicates.line, error, index.custom_ids[at])
        kept = at + 1
        duplicates.move()
    if kept < whole.lines:
        yield _part(span, begins, kept, whole.lines)


def _part(span: Span, begins: Sequence[int], first: int, stop: int) -> Span:
    """Lines [first, stop) of a span whose lines begin there."""
    whole = span.segment
    part = replace(
        whole, start=begins[first], stop=begins[stop], first_line=whole.first_line + first,
        lines=stop - first,
    )  # fmt: skip
    return Span(span.model, part)


def _duplicate(line: int, first_line: int) -> LineError:
    return LineError(
        code="duplicate_custom_id",
        message=f"The custom_id of this line was used by line {first_line} already. "
        "Give each line one of its own.",
        line=line,
        param="custom_id",
    )


def _error(record: BadRecord, line: int) -> LineError:
    return LineError(code=record.code, message=record.message, line=line, param=record.param)
