"""The door's benchmark runs, and its last line is the figures. How fast is not asked here; how much memory is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).parents[2]


def test_a_file_goes_through_the_real_process_in_flat_memory(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.door", "--gb", "0.25"],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert "all of them the file's" in ran.stdout
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert set(figures) == {"gb", "mb_per_s", "peak_rss_mb"}
    assert figures["gb"] == 0.25
    assert figures["peak_rss_mb"] < 200, "as of 10 GB"
