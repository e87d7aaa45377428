"""The programs that the README points at, run as they stand."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.caller import Caller
from tests.e2e.lines import chat_line, jsonl
from tests.e2e.sdks import HERE, ROOT

pytestmark = [pytest.mark.cloud]


def _run(
    command: list[str | Path], caller: Caller, folder: Path
) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": os.environ["PATH"],
        "OPENAI_BASE_URL": f"{caller.base_url}/v1",
        "OPENAI_API_KEY": caller.api_key,
    }
    return subprocess.run(
        command,
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_python_quickstart_runs_the_example_file(caller: Caller, tmp_path: Path) -> None:
    done = _run([sys.executable, ROOT / "examples/quickstart.py"], caller, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "completed: 40 of 40 lines" in done.stdout
    assert "ask-01: 'Why is the sky blue? One sentence.'" in done.stdout


@pytest.mark.node
def test_the_node_quickstart_runs_the_example_file(caller: Caller, tmp_path: Path) -> None:
    for name in ("quickstart.mjs", "demo.jsonl"):
        shutil.copy(ROOT / "examples" / name, tmp_path)
    (tmp_path / "node_modules").symlink_to(HERE / "node/node_modules")
    done = _run(["node", tmp_path / "quickstart.mjs"], caller, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "completed: 40 of 40 lines" in done.stdout
    assert 'ask-01: "Why is the sky blue? One sentence."' in done.stdout


def test_the_quickstart_names_lines_that_failed(caller: Caller, tmp_path: Path) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(jsonl([chat_line("fine"), chat_line("teapot", "[[status=418]]")]))
    done = _run([sys.executable, ROOT / "examples/quickstart.py", path], caller, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "teapot: {'error':" in done.stdout
