"""Checks the request lines that begin in one byte range of a batch's input, and reports what is there.

The ranges of a file don't know of its lines. A range owns the lines that begin in it: it reads on past its end to
finish its last line, and leaves the line that it begins within to the range before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from offpeak.core.batch import Batch
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.enqueued import estimate_tokens
from offpeak.core.layout import range_report_key
from offpeak.core.ports import Accounts, Batches, Multipart, Reader, Writer
from offpeak.planner.cut_shards import SpanLimits, span_limits
from offpeak.planner.sharing import SharingCounter, cache_bytes
from offpeak.steps.streamed_object import StreamedObject
from offpeak.wire.batch_errors import ENTRIES_MAX
from offpeak.wire.jsonl import LINE_BYTES_MAX, Block, split_blocks
from offpeak.wire.line_checker import BadLine, GoodLine, LineChecker
from offpeak.wire.range_report import (
    BadRecord,
    GoodSpan,
    LineIndex,
    Record,
    Trailer,
    UnlistedSpan,
    encode_id,
    encode_record,
    encode_trailer,
    sorted_ids,
)

BOM = b"\xef\xbb\xbf"


def validate_range(
    account_id: str, batch_id: str, index: int, start: int, stop: int, *, accounts: Accounts,
    batches: Batches, reader: Reader, writer: Writer, multipart: Multipart, catalogue: Catalogue,
    line_bytes_max: int = LINE_BYTES_MAX, counts_sharing: bool = True,
) -> Trailer:  # fmt: skip
    """Writes the range report of bytes [start, stop). It stops early in a file that has too many lines anyway. Returns
    the report's trailer, for the log. Without `counts_sharing` it doesn't say how far prompts begin alike."""
    batch = batches.get(account_id, batch_id)
    lines_max = accounts.get(account_id).limits.request_lines_max
    checker = LineChecker(batch.endpoint, catalogue, line_bytes_max, batch.accent)
    with StreamedObject(
        range_report_key(batch_id, index), writer=writer, multipart=multipart
    ) as report:
        # A batch that fails lists so many bad lines and no more; one that skips them needs each.
        skips = batch.on_invalid == "skip"
        findings = _Findings(
            report.write, start, listed_max=lines_max if skips else ENTRIES_MAX, is_indexed=skips,
            counts_sharing=counts_sharing,
        )  # fmt: skip
        for block in _blocks_of_range(batch, start, stop, reader, line_bytes_max):
            findings.add(block, checker)
            if findings.lines > lines_max:
                break
        trailer = findings.finish()
        report.close()
    return trailer


def _blocks_of_range(
    batch: Batch, start: int, stop: int, reader: Reader, line_bytes_max: int
) -> Iterator[Block]:
    """The lines that begin in [start, stop), without a byte order mark and an editor's empty last line."""
    first_byte = max(start - 1, 0)
    # From the last byte of the range, a line of the longest allowed length and its newline: what is cut is too long.
    last_byte = min(stop + line_bytes_max + 1, batch.input_bytes)
    if first_byte >= last_byte:
        return
    chunks = reader.stream(batch.input_key, first_byte, last_byte, etag=batch.input_etag)
    # Before its first line, a range has the rest of one that began earlier: just "\n" if a line begins at `start`.
    is_rest = start > 0
    for block in split_blocks(chunks, first_byte, line_bytes_max):
        begin, end, lines = _without_first(block) if is_rest else block
        is_rest = False
        if begin >= stop:
            return
        if lines and end > stop:
            _drop_after(stop, begin, lines)
            end = min(end, _end_of(begin, lines))
        if lines and begin == 0 and lines[0].startswith(BOM):
            begin, lines[0] = len(BOM), lines[0][len(BOM) :]
        if lines and end >= batch.input_bytes and not lines[-1].strip():
            end = _end_of(begin, lines[:-1])
            lines.pop()  # an editor's empty last line
        if lines is None or lines:
            yield begin, end, lines


def _without_first(block: Block) -> Block:
    begin, end, lines = block
    if lines is None or len(lines) == 1:
        return end, end, []
    return begin + len(lines[0]) + 1, end, lines[1:]


def _drop_after(stop: int, begin: int, lines: list[bytes]) -> None:
    """Drops the lines that begin at `stop` or later."""
    for kept, line in enumerate(lines):
        if begin >= stop:
            del lines[kept:]
            return
        begin += len(line) + 1


def _end_of(begin: int, lines: list[bytes]) -> int:
    return begin + sum(map(len, lines)) + len(lines)


_NO_LIMITS = SpanLimits(lines_max=0, bytes_max=0)


@dataclass(slots=True)
class _Span:
    """Lines that belong together: good ones of one model, or bad ones that won't be listed."""

    model: Model | None = None
    number: int = 0
    limits: SpanLimits = _NO_LIMITS
    lines: int = 0
    bytes: int = 0
    completion_tokens: int = 0
    index: LineIndex | None = None
    sharing: SharingCounter | None = None

    @property
    def record(self) -> Record:
        if self.model is None:
            return UnlistedSpan(self.lines, self.bytes)
        return GoodSpan(self.number, self.lines, self.bytes, self.index)


@dataclass(slots=True)
class _OfModel:
    """What a range has for one model."""

    number: int
    limits: SpanLimits
    sharing: SharingCounter | None
    bytes: int = 0
    completion_tokens: int = 0


class _Findings:
    """Folds checked lines into a report: good ones into spans, bad ones one by one while they are to be listed."""

    def __init__(
        self, write: Callable[[bytes], None], begin: int, *, listed_max: int, is_indexed: bool,
        counts_sharing: bool,
    ) -> None:  # fmt: skip
        self._write = write
        self._counts_sharing = counts_sharing
        self._begin = begin
        self._listed_max = listed_max
        self._is_indexed = is_indexed
        self._records_bytes = 0
        self._ids: list[bytes] = []
        self._bad_lines = 0
        self._models: dict[str, _OfModel] = {}
        self._span = _Span()
        self.lines = 0

    def add(self, block: Block, checker: LineChecker) -> None:
        begin, end, lines = block
        if self.lines == 0:
            self._begin = begin
        if lines is None:
            self._add_bad(checker.too_long(self.lines), end - begin)
            self.lines += 1
            return
        sizes = [len(line) + 1 for line in lines]
        sizes[-1] += end - begin - sum(sizes)  # the file's last line may have no newline
        for line, size in zip(lines, sizes, strict=True):
            checked = checker.check(line, self.lines)
            if isinstance(checked, GoodLine):
                self._add_good(checked, size)
            else:
                self._add_bad(checked, size)
            self.lines += 1

    def _add_good(self, good: GoodLine, line_bytes: int) -> None:
        span = self._span
        if (
            good.model is not span.model
            or span.lines >= span.limits.lines_max
            or span.bytes + line_bytes > span.limits.bytes_max
        ):
            self._end_span()
            span = self._begin_span(good.model)
        span.lines += 1
        span.bytes += line_bytes
        span.completion_tokens += good.completion_tokens
        if span.index is not None:
            span.index.bytes.append(line_bytes)
            span.index.custom_ids.append(good.custom_id)
        if span.sharing is not None:
            span.sharing.add(good.prompt, line_bytes)
        self._ids.append(encode_id(good.custom_id, self.lines))

    def _add_bad(self, bad: BadLine, line_bytes: int) -> None:
        if self._span.model is not None or self._bad_lines < self._listed_max:
            self._end_span()
        if self._bad_lines < self._listed_max:
            error = bad.error
            self._record(
                BadRecord(line_bytes, error.code, error.message, error.param, bad.custom_id)
            )
        else:
            self._span.lines += 1
            self._span.bytes += line_bytes
        self._bad_lines += 1

    def _begin_span(self, model: Model) -> _Span:
        if model.id not in self._models:
            sharing = _sharing_counter(model) if self._counts_sharing else None
            self._models[model.id] = _OfModel(len(self._models), span_limits(model), sharing)
        of_model = self._models[model.id]
        index = LineIndex([], []) if self._is_indexed else None
        self._span = _Span(model, of_model.number, of_model.limits, index=index)
        self._span.sharing = of_model.sharing
        return self._span

    def _end_span(self) -> None:
        span = self._span
        if span.lines:
            self._record(span.record)
        if span.model is not None:
            self._models[span.model.id].bytes += span.bytes
            self._models[span.model.id].completion_tokens += span.completion_tokens
        self._span = _Span()

    def _record(self, record: Record) -> None:
        encoded = encode_record(record)
        self._write(encoded)
        self._records_bytes += len(encoded)

    def finish(self) -> Trailer:
        self._end_span()
        for ids in sorted_ids(self._ids):
            self._write(ids)
        counters = [each.sharing for each in self._models.values()]
        trailer = Trailer(
            begin=self._begin, good_lines=len(self._ids), bad_lines=self._bad_lines,
            records_bytes=self._records_bytes, models=list(self._models),
            completion_tokens=[each.completion_tokens for each in self._models.values()],
            input_tokens=[estimate_tokens(each.bytes) for each in self._models.values()],
            sharing=[each.finish() for each in counters if each is not None] or None,
        )  # fmt: skip
        self._write(encode_trailer(trailer))
        return trailer


def _sharing_counter(model: Model) -> SharingCounter:
    return SharingCounter(
        cache_bytes=cache_bytes(model), lines_max=model.shard_lines_max,
        bytes_max=model.shard_bytes_max,
    )  # fmt: skip
