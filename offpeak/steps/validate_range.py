"""Checks the request lines that begin in one byte range of a batch's input, and reports what is there.

The ranges of a file don't know of its lines. A range owns the lines that begin in it: it reads on past its end to
finish its last line, and leaves the line that it begins within to the range before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from offpeak.core.batch import Batch
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.layout import range_report_key
from offpeak.core.ports import Accounts, Batches, Multipart, Reader, Writer
from offpeak.planner.cut_shards import SpanLimits, span_limits
from offpeak.planner.prefix_keys import SHORTEST_SHARED
from offpeak.planner.sharing import SharingCounter, cache_bytes
from offpeak.steps.streamed_object import StreamedObject
from offpeak.wire.batch_errors import ENTRIES_MAX
from offpeak.wire.jsonl import LINE_BYTES_MAX, Line, split_lines
from offpeak.wire.prompts import PromptReader, prompt_reader
from offpeak.wire.range_report import (
    BadRecord,
    GoodSpan,
    Record,
    Trailer,
    UnlistedSpan,
    encode_id,
    encode_record,
    encode_trailer,
)
from offpeak.wire.request_lines import BadLine, GoodLine, LineChecker

BOM = b"\xef\xbb\xbf"


def validate_range(
    account_id: str, batch_id: str, index: int, start: int, stop: int, *, accounts: Accounts,
    batches: Batches, reader: Reader, writer: Writer, multipart: Multipart, catalogue: Catalogue,
    line_bytes_max: int = LINE_BYTES_MAX,
) -> None:  # fmt: skip
    """Writes the range report of bytes [start, stop). It stops early in a file that has too many lines anyway."""
    batch = batches.get(account_id, batch_id)
    lines_max = accounts.get(account_id).limits.request_lines_max
    checker = LineChecker(batch.endpoint, catalogue, line_bytes_max, batch.accent)
    with StreamedObject(
        range_report_key(batch_id, index), writer=writer, multipart=multipart
    ) as report:
        # A batch that fails lists so many bad lines and no more; one that skips them needs each.
        listed_max = ENTRIES_MAX if batch.on_invalid == "fail" else lines_max
        findings = _Findings(report.write, start, listed_max, prompt_reader(batch.endpoint))
        for begin, end, line in _lines_of_range(batch, start, stop, reader, line_bytes_max):
            findings.add(checker.check(line, findings.lines), begin, end, line or b"")
            if findings.lines > lines_max:
                break
        findings.finish()
        report.close()


def _lines_of_range(
    batch: Batch, start: int, stop: int, reader: Reader, line_bytes_max: int
) -> Iterator[Line]:
    first_byte = max(start - 1, 0)
    # From the last byte of the range, a line of the longest allowed length and its newline: what is cut is too long.
    last_byte = min(stop + line_bytes_max + 1, batch.input_bytes)
    if first_byte >= last_byte:
        return
    chunks = reader.stream(batch.input_key, first_byte, last_byte, etag=batch.input_etag)
    lines = split_lines(chunks, first_byte, line_bytes_max)
    if start > 0:
        # The rest of a line that began earlier. It is just "\n" if a line begins at `start`.
        next(lines, None)
    for begin, end, line in lines:
        if begin >= stop:
            return
        if begin == 0 and line is not None and line.startswith(BOM):
            begin, line = len(BOM), line[len(BOM) :]  # noqa: PLW2901
        is_last = end >= batch.input_bytes
        if is_last and line is not None and not line.strip():
            return  # an editor's empty last line
        yield begin, end, line


class _Findings:
    """Folds checked lines into a report: good ones into spans, bad ones one by one while they are to be listed."""

    def __init__(
        self, write: Callable[[bytes], None], begin: int, listed_max: int, prompts: PromptReader
    ) -> None:
        self._write = write
        self._prompts = prompts
        self._begin = begin
        self._listed_max = listed_max
        self._records_bytes = 0
        self._ids: list[bytes] = []
        self._bad_lines = 0
        self._models: dict[str, tuple[int, SpanLimits]] = {}
        self._completion_tokens: Counter[str] = Counter()
        self._sharing: dict[str, SharingCounter] = {}
        self._span_model: Model | None = None
        self._span_limits = SpanLimits(lines_max=0, bytes_max=0)
        self._span_lines = 0
        self._span_bytes = 0
        self.lines = 0

    def add(self, checked: GoodLine | BadLine, begin: int, end: int, line: bytes) -> None:
        if self.lines == 0:
            self._begin = begin
        if isinstance(checked, GoodLine):
            self._add_good(checked, end - begin, line)
        else:
            self._add_bad(checked, end - begin)
        self.lines += 1

    def _add_good(self, good: GoodLine, line_bytes: int, line: bytes) -> None:
        self._ids.append(encode_id(good.custom_id, self.lines))
        limits = self._span_limits
        if (
            good.model is not self._span_model
            or self._span_lines >= limits.lines_max
            or self._span_bytes + line_bytes > limits.bytes_max
        ):
            self._end_span()
            self._begin_span(good.model)
        self._span_lines += 1
        self._span_bytes += line_bytes
        self._completion_tokens[good.model.id] += good.completion_tokens
        # No beginning that is worth sharing fits a short line.
        prompt = self._prompts.read(line) if line_bytes > SHORTEST_SHARED else b""
        self._sharing[good.model.id].add(prompt, line_bytes)

    def _add_bad(self, bad: BadLine, line_bytes: int) -> None:
        if self._span_model is not None or self._bad_lines < self._listed_max:
            self._end_span()
        if self._bad_lines < self._listed_max:
            error = bad.error
            self._record(
                BadRecord(line_bytes, error.code, error.message, error.param, bad.custom_id)
            )
        else:
            self._span_lines += 1
            self._span_bytes += line_bytes
        self._bad_lines += 1

    def _begin_span(self, model: Model) -> None:
        if model.id not in self._models:
            self._models[model.id] = len(self._models), span_limits(model)
            self._sharing[model.id] = SharingCounter(
                cache_bytes=cache_bytes(model), lines_max=model.shard_lines_max,
                bytes_max=model.shard_bytes_max,
            )  # fmt: skip
        self._span_model = model
        self._span_limits = self._models[model.id][1]

    def _end_span(self) -> None:
        if self._span_lines and self._span_model is not None:
            number = self._models[self._span_model.id][0]
            self._record(GoodSpan(number, self._span_lines, self._span_bytes))
        elif self._span_lines:
            self._record(UnlistedSpan(self._span_lines, self._span_bytes))
        self._span_model, self._span_lines, self._span_bytes = None, 0, 0

    def _record(self, record: Record) -> None:
        encoded = encode_record(record)
        self._write(encoded)
        self._records_bytes += len(encoded)

    def finish(self) -> None:
        self._end_span()
        self._ids.sort()
        for first in range(0, len(self._ids), 10_000):
            self._write(b"".join(self._ids[first : first + 10_000]))
        trailer = Trailer(
            begin=self._begin, good_lines=len(self._ids), bad_lines=self._bad_lines,
            records_bytes=self._records_bytes, models=list(self._models),
            completion_tokens=[self._completion_tokens[model] for model in self._models],
            sharing=[self._sharing[model].finish() for model in self._models],
        )  # fmt: skip
        self._write(encode_trailer(trailer))
