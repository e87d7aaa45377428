"""The range reports of a batch as one: its lines in the order of the file, with the ids that come twice found out.

Memory holds a block of each report's ids, and the duplicates; never the lines.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from offpeak.core.batch import Batch
from offpeak.core.layout import range_report_key
from offpeak.core.ports import Reader
from offpeak.core.request_line import LineError
from offpeak.core.shard import Segment
from offpeak.core.sharing import Sharing
from offpeak.steps.stored_report import StoredReport
from offpeak.wire.jsonl import split_lines
from offpeak.wire.range_report import BadRecord, GoodSpan
from offpeak.wire.request_lines import read_line


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


@dataclass(frozen=True, slots=True, order=True)
class _Duplicate:
    line: int
    first_line: int

    def error(self) -> LineError:
        return LineError(
            code="duplicate_custom_id",
            message=f"The custom_id of this line was used by line {self.first_line} already. "
            "Give each line one of its own.",
            line=self.line,
            param="custom_id",
        )


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
        duplicates = 0

        def counted() -> Iterator[_Duplicate]:
            nonlocal duplicates
            for duplicate in self._duplicates():
                duplicates += 1
                yield duplicate

        first = heapq.nsmallest(listed_max, counted())
        total = duplicates + sum(each.report.trailer.bad_lines for each in self._ranges)
        errors = heapq.merge(
            (each.error() for each in first),
            self._listed_errors(),
            key=lambda error: error.line or 0,
        )
        return list(islice(errors, listed_max)), total

    def pieces(self) -> Iterator[Span | RefusedLine]:
        """Every line, in order: good ones in spans, refused ones and later uses of a custom_id one by one."""
        # Of a batch that fails on them there are none, or nobody would ask for its pieces.
        duplicates = sorted(self._duplicates()) if self._batch.on_invalid == "skip" else []
        seen = 0
        for each in self._ranges:
            models = each.report.trailer.models
            line, position = each.first_line, each.report.trailer.begin
            for record in each.report.records():
                next_line, stop = line + record.lines, position + record.bytes
                if isinstance(record, GoodSpan):
                    first = seen
                    while seen < len(duplicates) and duplicates[seen].line < next_line:
                        seen += 1
                    segment = Segment(
                        key=self._batch.input_key, start=position, stop=stop, first_line=line,
                        lines=record.lines, etag=self._batch.input_etag,
                    )  # fmt: skip
                    span = Span(models[record.model], segment)
                    yield from self._without(duplicates[first:seen], span)
                elif isinstance(record, BadRecord):
                    yield RefusedLine(line, _error(record, line), record.custom_id)
                line, position = next_line, stop

    def _listed_errors(self) -> Iterator[LineError]:
        for each in self._ranges:
            line = each.first_line
            for record in each.report.records() if each.report.trailer.bad_lines else ():
                if isinstance(record, BadRecord):
                    yield _error(record, line)
                line += record.lines

    def _duplicates(self) -> Iterator[_Duplicate]:
        """Every good line whose custom_id an earlier good line has, in the order of the ids' hashes."""
        first: tuple[bytes, int] | None = None
        for custom_id, line in heapq.merge(*(_ids(each) for each in self._ranges)):
            if first is not None and first[0] == custom_id:
                yield _Duplicate(line, first[1])
            else:
                first = (custom_id, line)

    def _without(
        self, duplicates: Sequence[_Duplicate], span: Span
    ) -> Iterator[Span | RefusedLine]:
        """The span as it is, or cut at its duplicates; to find where they lie, its lines are read again."""
        if not duplicates:
            yield span
            return
        whole = span.segment
        by_line = {duplicate.line: duplicate for duplicate in duplicates}
        rest = whole
        chunks = self._reader.stream(whole.key, whole.start, whole.stop, etag=whole.etag)
        lines = split_lines(chunks, whole.start, whole.stop - whole.start)
        for number, (start, stop, text) in enumerate(lines, whole.first_line):
            if number not in by_line:
                continue
            before = number - rest.first_line
            if before:
                yield Span(span.model, replace(rest, stop=start, lines=before))
            custom_id = read_line(text or b"", number).custom_id
            yield RefusedLine(number, by_line[number].error(), custom_id)
            rest = replace(rest, start=stop, first_line=number + 1, lines=rest.lines - before - 1)
        if rest.lines:
            yield Span(span.model, rest)


def _ids(each: _Range) -> Iterator[tuple[bytes, int]]:
    first_line = each.first_line
    return ((custom_id, first_line + number) for custom_id, number in each.report.ids())


def _error(record: BadRecord, line: int) -> LineError:
    return LineError(code=record.code, message=record.message, line=line, param=record.param)
