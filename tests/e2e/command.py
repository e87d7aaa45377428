"""The command line as people run it: a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def offpeak(
    *arguments: str | Path, environment: Mapping[str, str], cwd: Path
) -> subprocess.CompletedProcess[str]:
    """Runs `offpeak …`, with nothing of ours in its environment but what is given."""
    command = [
        sys.executable,
        "-c",
        "from offpeak.cli.main import main; main()",
        *map(str, arguments),
    ]
    root = Path(__file__).parent.parent.parent
    return subprocess.run(
        command,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(root), **environment},
        cwd=cwd, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
