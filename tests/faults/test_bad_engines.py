"""Engines that hang, answer with garbage, or take all memory: each line has an answer or an error, and is paid if it
has an answer."""

from __future__ import annotations

import pytest

from tests.e2e.lines import chat_line, chat_lines
from tests.faults.books import assert_nothing_lost
from tests.faults.faulty_cloud import FaultyCloud

pytestmark = [pytest.mark.cloud]

GOOD = chat_lines(20, "good")
LINE_SECONDS_MAX = 12
MEMORY_KIB = 3 << 20


def test_a_line_that_hangs_and_answers_that_are_none_are_errors_and_their_neighbours_are_not(
    faulty: FaultyCloud,
) -> None:
    caller = faulty.new_caller("garbage")
    faulty.engine.open_gate()
    bad = [chat_line(name, f"[[{name}]]") for name in ("page", "half", "flood", "hang")]
    odd = [
        chat_line("cut", f"[[cut]] {caller.account_id}"),  # the second time it answers
        chat_line("negative", "[[tokens=-5]]"),
        chat_line("astronomic", f"[[tokens={10**40}]]"),
    ]
    lines = [*GOOD[:10], *bad, *odd, *GOOD[10:]]
    with faulty.launching(f"export OFFPEAK_LINE_SECONDS_MAX={LINE_SECONDS_MAX}"):
        batch_id = faulty.begin(caller, lines)
        ended = faulty.ended(caller, batch_id)
    errors = assert_nothing_lost(faulty.aws, caller, ended, lines)
    assert set(errors) == {"page", "half", "flood", "hang"}
    codes = {
        name: line["error"]["code"] if line["error"] else line["response"]["status_code"]
        for name, line in errors.items()
    }
    assert codes["hang"] == "request_timeout"
    assert codes["page"] == codes["half"] == 502
    assert codes["flood"] in {502, "request_timeout"}  # its end is our limit on bytes, or on time


def test_a_line_that_takes_all_memory_is_found_and_its_neighbours_finish(
    faulty: FaultyCloud,
) -> None:
    """In an engine that runs in the worker's process, which may have three GiB."""
    caller = faulty.new_caller("memory")
    greedy = chat_line("greedy", f"[[memory={MEMORY_KIB >> 10}]]")
    lines = [*GOOD[:10], greedy, *GOOD[10:]]
    with faulty.launching(f"ulimit -v {MEMORY_KIB}", "export OFFPEAK_ENGINE=echo"):
        batch_id = faulty.begin(caller, lines)
        ended = faulty.ended(caller, batch_id)
    errors = assert_nothing_lost(faulty.aws, caller, ended, lines)
    assert {name: line["error"]["code"] for name, line in errors.items()} == {
        "greedy": "engine_error"
    }
