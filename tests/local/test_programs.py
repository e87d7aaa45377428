"""The local cloud's own programs: watched, stopped with it, and to be killed and started again in tests of faults."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from offpeak.local.processes import ProcessFailed, answers, free_port
from offpeak.local.programs import Programs

STOP_SECONDS = 5.0


def _listen(programs: Programs, port: int) -> None:
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    programs.start("listener", command, {}, port, STOP_SECONDS)


def test_a_program_that_crashed_starts_again_on_its_port_and_stops_with_the_others(
    tmp_path: Path,
) -> None:
    port = free_port()
    with ExitStack() as stops:
        programs = Programs(tmp_path, stops)
        _listen(programs, port)
        first = programs.pids()["listener"]
        programs.crash("listener")
        assert not answers(port)
        assert not programs.pids()
        programs.check()  # what was crashed on purpose is nobody's failure
        programs.restart("listener")
        assert answers(port)
        assert programs.pids()["listener"] != first
    assert not answers(port)


def test_one_that_ends_by_itself_is_named(tmp_path: Path) -> None:
    with ExitStack() as stops, pytest.raises(ProcessFailed, match="listener ended with status 3"):
        Programs(tmp_path, stops).start(
            "listener", [sys.executable, "-c", "raise SystemExit(3)"], {}, free_port(), STOP_SECONDS
        )
