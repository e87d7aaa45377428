"""The SDKs that go through the API, and how each is run: in a process of its own, with its own packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.e2e.caller import Caller
from tests.e2e.lines import chat_line, chat_lines, jsonl

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SMALL = chat_lines(25, "small")
LARGE = [
    chat_line(f"large-{n:03}", f"Zusammenfassung {n} – {'wörtlich ' * 9_000}") for n in range(60)
]
"""Over 4 MiB, so that it goes in parts."""


def python_3() -> Sequence[str]:
    return [sys.executable, str(HERE / "sdk_script.py")]


def python_1() -> Sequence[str]:
    default = ROOT / ".offpeak/venvs/openai1/bin/python"
    python = os.environ.get("OFFPEAK_OPENAI1_PYTHON", str(default))
    assert Path(python).exists(), f"{python} is missing: run `make setup-tests`."
    return [python, str(HERE / "sdk_script.py")]


def node() -> Sequence[str]:
    assert (HERE / "node/node_modules/openai").exists(), (
        "The npm SDK is missing: run `make setup-tests`."
    )
    return ["node", str(HERE / "node/batch.mjs")]


def run_sdk(command: Sequence[str], caller: Caller, folder: Path) -> dict[str, Any]:
    """What the SDK got for its calls, as `sdk_script.py` reports it."""
    small, large = folder / "small.jsonl", folder / "large.jsonl"
    small.write_bytes(jsonl(SMALL))
    large.write_bytes(jsonl(LARGE))
    environment = {
        "PATH": os.environ["PATH"],
        "OPENAI_BASE_URL": f"{caller.base_url}/v1",
        "OPENAI_API_KEY": caller.api_key,
    }
    done = subprocess.run(
        [*command, str(small), str(large)],
        env=environment, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report
