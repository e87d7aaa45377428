"""Why a batch failed, as OpenAI lists it: the object behind a batch's `errors`."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from offpeak.core.request_line import LineError

ENTRIES_MAX = 1_000


def encode_batch_errors(errors: Sequence[LineError], total: int) -> bytes:
    """`errors` are the first of `total`. At most `ENTRIES_MAX` are listed, then one entry counts the rest."""
    listed = [_entry(error) for error in errors[:ENTRIES_MAX]]
    rest = total - len(listed)
    if rest:
        message = f"{rest:,} more lines are invalid and are not listed here. Correct these first."
        listed.append(_entry(LineError(code="more_invalid_lines", message=message)))
    return msgspec.json.encode({"object": "list", "data": listed})


def _entry(error: LineError) -> dict[str, str | int | None]:
    return {
        "code": error.code, "line": error.line, "message": error.message, "param": error.param,
    }  # fmt: skip
