"""What people read."""

from __future__ import annotations

import pytest

from offpeak.cli.show import counts_text, show_batch, show_rows, size_text, time_text

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
