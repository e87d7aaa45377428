"""The benchmark of dispatching runs, but for its local cloud, which `tests/e2e/test_e2e_many_batches.py` stands for.
How fast is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).parents[2]


def test_what_a_dispatch_reads_does_not_grow_with_what_waits() -> None:
    ran = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.dispatch", "--shards", "3", "--decisions", "500",
            "--repeats", "1", "--without-local",
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert set(figures) == {
        "decisions_per_s", "calls_per_shard", "read_units_per_shard", "simulated_delay_s",
        "fifo_delay_s",
    }  # fmt: skip
    assert figures["decisions_per_s"] > 0
    assert figures["calls_per_shard"] <= 10  # open, express, five accounts, the end, the run
    assert figures["read_units_per_shard"] < 10
    assert figures["simulated_delay_s"] <= 11 < figures["fifo_delay_s"]
