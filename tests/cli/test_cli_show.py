"""What people read."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from offpeak.cli.show import counts_text, plain, say, show_batch, show_rows, size_text, time_text

BATCH = {
    "id": "batch_1",
    "status": "validating",
    "endpoint": "/v1/chat/completions",
    "created_at": 1_767_225_600,
    "expires_at": 1_767_312_000,
    "input_file_id": "file-1",
    "request_counts": {"total": 0, "completed": 0, "failed": 0},
}


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1.0 kB"), (999_949, "999.9 kB"), (999_999, "1.0 MB"),
     (7_340_032_000, "7.3 GB")],
)  # fmt: skip
def test_sizes_are_in_powers_of_a_thousand(count: int, text: str) -> None:
    assert size_text(count) == text


def test_times_are_utc() -> None:
    assert time_text(1_767_225_600) == "2026-01-01 00:00:00Z"
    assert time_text(None) == ""


def test_counts_name_failures_only_when_there_are_any() -> None:
    assert counts_text({"request_counts": {"total": 3, "completed": 2, "failed": 1}}) == (
        "2 of 3 completed, 1 failed"
    )
    assert counts_text({"request_counts": {"total": 3000, "completed": 0, "failed": 0}}) == (
        "0 of 3,000 completed"
    )
    assert counts_text(BATCH) == ""


def test_a_young_batch_shows_no_field_that_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    show_batch(BATCH)
    shown = capsys.readouterr().out
    assert [line.split()[0] for line in shown.splitlines()] == [
        "batch", "status", "endpoint", "created", "expires", "input",
    ]  # fmt: skip


def test_a_failed_batch_shows_its_first_errors_and_counts_the_rest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    errors = [
        {"code": "invalid_json_line", "line": n, "message": "Not JSON.", "param": None}
        for n in range(1, 15)
    ]
    show_batch({**BATCH, "status": "failed", "failed_at": 1, "errors": {"data": errors}})
    shown = capsys.readouterr().out
    assert "line 1: Not JSON. (invalid_json_line)" in shown
    assert "line 11:" not in shown
    assert "and 4 more" in shown


def test_rows_in_a_pipe_are_tab_separated_and_whole(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows(("name", "note"), [("a" * 200, "two\twords"), ("[bold]b", "")])
    assert capsys.readouterr().out == f"{'a' * 200}\ttwo words\n[bold]b\t\n"


EVIL = {
    "\x1b[31mred\x1b[0m": r"\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07": r"\x1b]0;title\x07",
    "a\rb": r"a\rb",
    "\u202egpj.exe": r"\u202egpj.exe",
    "\u2066a\u2069": r"\u2066a\u2069",
    "zero\u200bwidth": r"zero\u200bwidth",
    "\x9b2J": r"\x9b2J",
    "half\ud800": r"half\ud800",
    "line\u2028end": r"line\u2028end",
    "naïve 名 🙂": "naïve 名 🙂",
}


@pytest.mark.parametrize("text", EVIL)
def test_what_a_terminal_would_act_on_is_written_out(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert plain(text) == EVIL[text]
    show_rows(("name",), [(text,)])
    show_batch({**BATCH, "metadata": {"name": text}, "model": text})
    say(f"offpeak: {text}")
    out, err = capsys.readouterr()
    assert out.count(EVIL[text]) == 3
    assert EVIL[text] in err
    assert all(c.isprintable() or c in "\n\t" for c in out + err)


def test_a_terminals_table_holds_no_escape_of_a_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(force_terminal=True, width=200, file=StringIO(), color_system=None)
    monkeypatch.setattr("offpeak.cli.show.Console", lambda: console)
    show_rows(("name",), [("\x1b[2J[bold]evil\u202e",)])
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert r"\x1b[2J[bold]evil\u202e" in shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=HYPERLINK(A1)", "'=HYPERLINK(A1)"), ("@SUM(A1)", "'@SUM(A1)"),
        ("+1+cmd|' /C calc'!A0", "'+1+cmd|' /C calc'!A0"),
        ("-2+3", "'-2+3"), ("\t=1+1", "' =1+1"), ("-5", "-5"), ("-1,234.50", "-1,234.50"), ("+12%", "+12%"),
        ("-$0.02", "-$0.02"), ("batch_1", "batch_1"), ("", ""),
    ],
)  # fmt: skip
def test_a_name_is_no_formula_of_a_spreadsheet(
    text: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_rows(("name", "note"), [(text, "x")])
    assert capsys.readouterr().out == f"{shown}\tx\n"
