"""The benchmark of reordering runs, and its last line is the figures. How fast is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_reordering_is_measured_and_gains_what_was_estimated_at_least() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.reorder", "--lines", "9000", "--largest", "50000"],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert set(figures) == {
        "rewrite_mb_per_s", "recut_5m_seconds", "cached_before", "cached_after",
        "estimated_before", "estimated_after", "peak_rss_mb",
    }  # fmt: skip
    assert figures["cached_after"] > 0.6
    assert figures["cached_after"] > figures["cached_before"] + 0.3
    assert figures["estimated_after"] <= figures["cached_after"] + 0.02
    assert 0 < figures["peak_rss_mb"] < 512
