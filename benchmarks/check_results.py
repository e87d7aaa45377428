"""Whether a batch's results answer its input: each line once, in order, with its own answer. An independent checker.

    python -m benchmarks.check_results INPUT OUTPUT [ERRORS]

It shares no code with what made the files, and reads plain JSON, line by line; memory holds a bit for each line. An
input line is known by the number that its custom_id ends with, counted from 0. The last line is JSON:
`{"lines", "lost", "duplicated", "out_of_order", "wrong", "peak_rss_mb"}`. `wrong` counts answers that are not those of
an echo: the last message's words. It leaves with 1 when any of them but `lines` is above zero.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BUFFER_BYTES = 4 << 20


def number_of(line: dict[str, Any]) -> int:
    return int(line["custom_id"].rpartition("-")[2])


def read(path: Path | None) -> Iterator[dict[str, Any]]:
    if path is None:
        return
    with path.open("rb", buffering=BUFFER_BYTES) as file:
        for line in file:
            yield json.loads(line)


class Seen:
    """The lines that were answered, and what was wrong with the answers' places."""

    def __init__(self) -> None:
        self._bits = bytearray()
        self.lines = self.duplicated = self.out_of_order = 0

    def add(self, number: int, last: int) -> None:
        """`last` is the number before this one in the same file."""
        place, bit = number >> 3, 1 << (number & 7)
        if place >= len(self._bits):
            self._bits.extend(bytes(place + 1 - len(self._bits)))
        if self._bits[place] & bit:
            self.duplicated += 1
        else:
            self.lines += 1
            self.out_of_order += number <= last
        self._bits[place] |= bit

    def has(self, number: int) -> bool:
        place = number >> 3
        return place < len(self._bits) and bool(self._bits[place] & (1 << (number & 7)))


class Questions:
    """The input, read on as far as answers ask for it. Answers that come out of order are not compared."""

    def __init__(self, path: Path) -> None:
        self._lines = read(path)
        self._ahead: dict[str, Any] | None = next(self._lines, None)
        self.read = 0 if self._ahead is None else 1

    def of(self, number: int) -> str | None:
        while self._ahead is not None and number_of(self._ahead) < number:
            self._next()
        if self._ahead is None or number_of(self._ahead) != number:
            return None
        content: str = self._ahead["body"]["messages"][-1]["content"]
        return content

    def rest(self) -> None:
        while self._ahead is not None:
            self._next()

    def _next(self) -> None:
        self._ahead = next(self._lines, None)
        self.read += self._ahead is not None


def check(given: Path, output: Path, errors: Path | None) -> dict[str, int]:
    seen, questions = Seen(), Questions(given)
    wrong = 0
    last = -1
    for answer in read(output):
        number = number_of(answer)
        seen.add(number, last)
        question = questions.of(number)
        response = answer["response"]
        if question is not None:
            wrong += response["body"]["choices"][0]["message"]["content"] != question
        wrong += answer["error"] is not None or response["status_code"] != 200
        last = max(last, number)
    questions.rest()
    last = -1
    for answer in read(errors):
        seen.add(number_of(answer), last)
        last = max(last, number_of(answer))
    lost = sum(not seen.has(number) for number in range(questions.read))
    return {
        "lines": questions.read, "lost": lost, "duplicated": seen.duplicated,
        "out_of_order": seen.out_of_order, "wrong": wrong,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }  # fmt: skip


def main() -> None:
    given, output, *more = map(Path, sys.argv[1:])
    found = check(given, output, more[0] if more else None)
    print(json.dumps(found))
    sys.exit(any(found[name] for name in ("lost", "duplicated", "out_of_order", "wrong")))


if __name__ == "__main__":
    main()
