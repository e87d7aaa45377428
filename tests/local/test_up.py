"""`make up` as a process: what it announces, and that it leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from offpeak.local.processes import Process, answers, free_port
from offpeak.local.up import LOCAL_FILE

pytestmark = [pytest.mark.cloud]
ROOT = Path(__file__).parents[2]
FACTS = {"base_url", "api_key", "account", "aws_endpoint_url", "bucket", "engine", "model"}


def _pids_naming(text: str) -> list[int]:
    """Processes whose command line or environment names this path."""
    found = subprocess.run(
        ["ps", "axeww", "-o", "pid=,command="], capture_output=True, text=True, check=True
    )
    lines = [line.split(None, 1) for line in found.stdout.splitlines() if text in line]
    return [int(pid) for pid, _ in lines if int(pid) != os.getpid()]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("emulator_python")
def test_it_says_where_it_serves_and_leaves_nothing_when_told_to_end(
    number: signal.Signals, tmp_path: Path
) -> None:
    if LOCAL_FILE.exists():
        pytest.fail(f"{LOCAL_FILE} exists: a local cloud is serving in this checkout.")
    port = free_port()
    up = Process(
        "make up",
        [sys.executable, "-m", "offpeak.local.up", "--engine", "echo", "--port", str(port)],
        log=tmp_path / "up.log",
        environment=dict(os.environ),
        cwd=ROOT,
    )
    try:
        up.wait_until(LOCAL_FILE.exists, 240)
        facts = json.loads(LOCAL_FILE.read_text())
        assert set(facts) == FACTS
        assert LOCAL_FILE.stat().st_mode & 0o077 == 0, "it holds a key"
        assert facts["base_url"] == f"http://127.0.0.1:{port}"
        models = httpx.get(
            f"{facts['base_url']}/v1/models",
            headers={"Authorization": f"Bearer {facts['api_key']}"},
        )
        assert facts["model"] in {model["id"] for model in models.json()["data"]}
        assert facts["base_url"] in up.log.read_text()
        up.send(number)
        deadline = time.monotonic() + 60
        while up.running and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not up.running
        assert not LOCAL_FILE.exists()
        assert not answers(port)
        assert _pids_naming(f".offpeak/clouds/{port}/") == []
    finally:
        up.stop(60)
