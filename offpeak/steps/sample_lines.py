"""What is in an input file, by a sample of it: whole when it is small, else some stretches spread over it. Of the lines
that were read some are drawn at random, for whoever looks at their texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random

from offpeak.core.catalogue import Catalogue
from offpeak.core.file import File
from offpeak.core.ports import Reader
from offpeak.planner.estimate_usage import Work
from offpeak.steps.count_tokens import DrawnLine
from offpeak.wire.jsonl import LINE_BYTES_MAX, split_lines
from offpeak.wire.line_checker import GoodLine, LineChecker
from offpeak.wire.prompt_texts import read_prompt_texts
from offpeak.wire.prompts import read_completion_tokens

STRETCHES = 8
STRETCH_BYTES = 2 * LINE_BYTES_MAX
"""Wherever it begins, a whole line fits into it."""
DRAWN_MAX = 256
"""Lines of a model whose texts are looked at. Of texts of 2,000 characters they are half a megabyte."""
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """`works` by model id, reckoned up to the whole file; `lines` were read, `bad_lines` of them would be refused.
    `drawn` are some of the lines of each model, in random order."""

    works: Mapping[str, Work]
    drawn: Mapping[str, Sequence[DrawnLine]]
    lines: int
    bad_lines: int
    is_whole: bool


def sample_lines(file: File, endpoint: str, *, reader: Reader, catalogue: Catalogue) -> Sample:
    """Reads at most `STRETCHES` × `STRETCH_BYTES`."""
    checker = LineChecker(endpoint, catalogue, LINE_BYTES_MAX)
    found: dict[str, list[int]] = {}
    draws = _Draws(endpoint, Random(file.id))  # so that the same file is estimated alike again
    lines = bad_lines = sampled_bytes = 0
    for line, line_bytes in _lines(file, reader):
        lines += 1
        sampled_bytes += line_bytes
        checked = checker.check(line, lines)
        if not isinstance(checked, GoodLine):
            bad_lines += 1
            continue
        draws.see(checked.model.id, line, line_bytes)
        sums = found.setdefault(checked.model.id, [0, 0, 0])
        for place, more in enumerate((1, line_bytes, checked.completion_tokens)):
            sums[place] += more
    is_whole = file.bytes <= STRETCHES * STRETCH_BYTES
    scale = 1.0 if is_whole or not sampled_bytes else file.bytes / sampled_bytes
    return Sample(
        works={model: _scaled(sums, scale) for model, sums in sorted(found.items())},
        drawn=draws.drawn(), lines=lines, bad_lines=bad_lines, is_whole=is_whole,
    )  # fmt: skip


@dataclass(slots=True)
class _Draws:
    """Each line of a model with the same chance, in one pass (reservoir sampling, Vitter's algorithm R)."""

    endpoint: str
    random: Random
    kept: dict[str, list[DrawnLine | None]] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)

    def see(self, model: str, line: bytes | None, line_bytes: int) -> None:
        seen = self.seen[model] = self.seen.get(model, 0) + 1
        kept = self.kept.setdefault(model, [])
        place = len(kept) if len(kept) < DRAWN_MAX else self.random.randrange(seen)
        if place < DRAWN_MAX:
            kept[place : place + 1] = [self._drawn(line or b"", line_bytes)]

    def _drawn(self, line: bytes, line_bytes: int) -> DrawnLine | None:
        """None for a good line that we can't read after all; none is known."""
        try:
            limit = read_completion_tokens(line, 0)
            return DrawnLine(line_bytes, read_prompt_texts(line, self.endpoint), limit)
        except (ValueError, RecursionError):
            return None

    def drawn(self) -> Mapping[str, Sequence[DrawnLine]]:
        """Shuffled: the first of them are as random as all."""
        found = {m: [line for line in kept if line] for m, kept in self.kept.items()}
        for lines in found.values():
            self.random.shuffle(lines)
        return found


def _scaled(sums: list[int], scale: float) -> Work:
    lines, input_bytes, completion_tokens = (round(scale * each) for each in sums)
    return Work(lines=lines, input_bytes=input_bytes, completion_tokens=completion_tokens)


def _lines(file: File, reader: Reader) -> Iterator[tuple[bytes | None, int]]:
    """Whole lines, and how many bytes each has in the file."""
    if file.bytes <= STRETCHES * STRETCH_BYTES:
        stretches = [(0, file.bytes)]
    else:
        step = (file.bytes - STRETCH_BYTES) // (STRETCHES - 1)
        stretches = [(n * step, n * step + STRETCH_BYTES) for n in range(STRETCHES)]
    for start, stop in stretches:
        lines = split_lines(reader.stream(file.key, start, stop, etag=file.etag), start)
        if start > 0:
            next(lines, None)  # the rest of a line that began before
        for begin, end, line in lines:
            cut_off = end >= stop and stop < file.bytes
            blank = end >= file.bytes and line is not None and not line.strip()
            if cut_off or blank:
                break
            whole = line.removeprefix(BOM) if line is not None and begin == 0 else line
            yield whole, end - begin
