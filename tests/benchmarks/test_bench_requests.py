"""The benchmark of stand-alone requests runs, and its last line is the figures. How fast is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).parents[2]
SMALL = "import benchmarks.requests as bench; bench.REQUESTS = 200; bench.main()"


def test_a_request_costs_two_writes_and_its_share_of_the_road(tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", SMALL, "--bill", tmp_path / "bill.json"],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert set(figures) == {"requests_per_s", "writes_per_request", "reads_per_request"}
    assert 2.0 <= figures["writes_per_request"] < 2.5
    assert 0.0 < figures["reads_per_request"] < 0.5
    bill = json.loads((tmp_path / "bill.json").read_text())
    # Without the POST: the row is written a second time when it ends.
    assert 1.0 <= bill["gathering dynamodb_write"] < 1.5
    assert bill["gathering sqs"] < 0.6
