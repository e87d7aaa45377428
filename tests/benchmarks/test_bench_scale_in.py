"""The benchmark of scale-ins, tiny: what is done twice is told from what is done once. How much is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.scale_in import read_record, twice_seconds

ROOT = Path(__file__).parents[2]
RECORD = """1 1 begins 10.0
1 2 begins 10.0
1 1 ends 12.0
1 3 begins 12.0
1 2 ends 13.0
1 4 begins 13.0
2 2 begins 20.0
2 3 begins 20.0
2 3 ends 22.0
2 2 ends 23.0
2 4 begins 22.0
2 4 ends 22.5
"""


def test_what_is_done_twice_is_every_second_on_a_line_that_was_begun_again() -> None:
    attempts = read_record(RECORD)
    assert [[call.line for call in calls] for calls in attempts] == [[1, 2, 3, 4], [2, 3, 4]]
    of_line_2, of_line_3, of_line_4 = 3.0, 2.5, 1.5  # nobody saw the last two end
    assert twice_seconds(attempts, hit_at=14.5) == pytest.approx(of_line_2 + of_line_3 + of_line_4)
    assert twice_seconds(attempts[:1], hit_at=14.5) == 0


def test_shards_are_hit_both_ways_and_ended_by_another() -> None:
    ran = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.scale_in", "--shards", "4", "--checkpoint", "2",
            "--window", "4", "--within", "0.5",
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert set(figures) == {
        "shards", "checkpoint_s", "told_mean_s", "told_worst_s", "told_worst_of_interval",
        "lost_mean_s", "lost_worst_s", "lost_worst_of_interval",
    }  # fmt: skip
    assert figures["told_worst_s"] >= figures["told_mean_s"] > 0
    assert figures["lost_worst_s"] >= figures["lost_mean_s"] > 0
