"""The benchmark of ingest runs, on files of its own, and its last line is the figures. How fast is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_ingest_is_measured_on_large_lines_tiny_ones_and_duplicates() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.ingest", "--gb", "0.07", "--tiny-lines", "2000"],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    *table, last = ran.stdout.splitlines()
    assert "large: 35,000 lines, 70 MB in 2 ranges" in table
    assert "duplicates: 2,000 lines, 0 MB in 1 ranges" in table
    assert sum(line.startswith("  whole, statistics") for line in table) == 3
    figures = json.loads(last)
    assert set(figures) == {"mb_per_s_core", "line_iteration_mb_per_s", "peak_rss_mb"}
    assert figures["mb_per_s_core"] > 0 < figures["line_iteration_mb_per_s"]
    assert 0 < figures["peak_rss_mb"] < 512
