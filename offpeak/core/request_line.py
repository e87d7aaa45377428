"""A line of an input file: what it asks for, or what is wrong with it; and in the end, what became of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from offpeak.core.usage import Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLine:
    """One valid line. `number` counts lines of the file from 1; `body` is its JSON, untouched.
    Its `url`, if it has one, is the batch's endpoint."""

    number: int
    custom_id: str
    model: str
    body: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class LineError:
    """Why a line (or, with `line=None`, the whole file) was refused: OpenAI's batch error, field by field."""

    code: str
    message: str
    line: int | None = None
    param: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedLine:
    """A line that has its result. `kind` says which of the batch's files `result` goes to; `result` is the finished
    JSON line, its newline included."""

    number: int
    kind: Literal["output", "error"]
    result: bytes
    usage: Usage = Usage()


def paid_usage(lines: Iterable[FinishedLine]) -> Usage:
    """The tokens of those that succeeded. Nobody pays for a request that failed, whatever it took."""
    return Usage.sum(line.usage for line in lines if line.kind == "output")
