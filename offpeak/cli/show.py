"""Answers for people and for pipes: tables on a terminal, tab-separated lines and JSON elsewhere.

Data goes to stdout, everything said about it to stderr. Names and messages are other people's: what a terminal or a
spreadsheet would act on is written out, so that it can be seen and does nothing. JSON is passed on as it is, in ASCII.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

ERRORS_SHOWN_MAX = 10
_FORMULA = ("=", "+", "-", "@")
_NUMBER = re.compile(r"[+-]?\$?[0-9][0-9,.]*%?")
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's JSON.")]


def plain(text: str) -> str:
    """The text with what isn't printable as escapes: control characters and escape sequences, marks that turn the
    direction of writing, characters without a width, halves of characters."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cell(text: str) -> str:
    """A cell of a table that may be read into a spreadsheet, where these beginnings would make it a formula."""
    shown = plain(text.replace("\t", " ").replace("\n", " "))
    return (
        f"'{shown}"
        if shown.lstrip().startswith(_FORMULA) and not _NUMBER.fullmatch(shown)
        else shown
    )


def say(message: str) -> None:
    """A sentence for the person, never part of the data."""
    print(*map(plain, message.split("\n")), sep="\n", file=sys.stderr, flush=True)


def show_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def show_rows(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table, or tab-separated lines without a heading when stdout is no terminal."""
    console = Console()
    if not console.is_terminal:
        for row in rows:
            print("\t".join(map(cell, row)))
        return
    table = Table(*columns, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*(escape(plain(text)) for text in row))
    console.print(table)


def show_field(name: str, value: str) -> None:
    print(f"{name:<12} {plain(value)}")


def show_batch(batch: Mapping[str, Any]) -> None:
    """One batch, a field a line; fields that say nothing yet are left out."""
    fields = [(name, value) for name, value in _batch_fields(batch) if value]
    for name, value in fields:
        show_field(name, value)
    errors = (batch.get("errors") or {}).get("data", [])
    for error in errors[:ERRORS_SHOWN_MAX]:
        where = f"line {error['line']}: " if error.get("line") is not None else ""
        show_field("error", f"{where}{error['message']} ({error['code']})")
    if len(errors) > ERRORS_SHOWN_MAX:
        print(f"{'':<12} … and {len(errors) - ERRORS_SHOWN_MAX} more; --json lists them.")


def _batch_fields(batch: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    status = batch["status"]
    ended_at = batch.get(f"{status}_at") if status != "validating" else None
    return [
        ("batch", batch["id"]),
        ("status", status),
        ("endpoint", batch["endpoint"]),
        ("model", batch.get("model") or ""),
        ("schedule", "" if batch.get("schedule") == "now" else batch.get("schedule") or ""),
        ("lines", counts_text(batch)),
        ("tokens", _usage_text(batch.get("usage"))),
        ("created", time_text(batch["created_at"])),
        ("planned", time_text((batch.get("estimated_completion") or {}).get("planned_start"))),
        ("done", _completion_text(batch.get("estimated_completion"))),
        ("expires", "" if batch.get("completed_at") else time_text(batch.get("expires_at"))),
        ("at risk", _risk_text(batch)),
        ("since", time_text(ended_at)),
        ("input", batch["input_file_id"]),
        ("output", batch.get("output_file_id") or ""),
        ("errors", batch.get("error_file_id") or ""),
        ("metadata", _metadata_text(batch.get("metadata"))),
    ]


def _risk_text(batch: Mapping[str, Any]) -> str:
    since = time_text(batch.get("at_risk_at"))
    return since and f"expected to miss its deadline, since {since}"


def counts_text(batch: Mapping[str, Any]) -> str:
    counts = batch.get("request_counts") or {}
    if not counts.get("total"):
        return ""
    failed = f", {counts['failed']:,} failed" if counts["failed"] else ""
    return f"{counts['completed']:,} of {counts['total']:,} completed{failed}"


def _completion_text(found: Mapping[str, Any] | None) -> str:
    if not found:
        return ""
    rough = ", before anything of it was measured" if found["basis"] == "prior" else ""
    return f"about {time_text(found['p50'])}, by {time_text(found['p90'])} in nine of ten{rough}"


def _usage_text(usage: Mapping[str, Any] | None) -> str:
    if not usage:
        return ""
    cached = usage["input_tokens_details"]["cached_tokens"]
    of_them = f" ({cached:,} of them cached)" if cached else ""
    return f"{usage['input_tokens']:,} in{of_them}, {usage['output_tokens']:,} out"


def _metadata_text(metadata: Mapping[str, str] | None) -> str:
    return ", ".join(f"{key}={value}" for key, value in (metadata or {}).items())


def time_text(seconds: int | None) -> str:
    """UTC, to the second; empty for a time that isn't set."""
    return (
        "" if not seconds else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    )


def size_text(count: int) -> str:
    """Bytes as people write them, in powers of 1,000."""
    if count < 1_000:
        return f"{count} B"
    value, units = float(count), iter(("kB", "MB", "GB", "TB"))
    unit = "B"
    while value >= 999.95:
        value, unit = value / 1_000, next(units)
    return f"{value:.1f} {unit}"
