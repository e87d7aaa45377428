"""The worker's benchmark runs, and its last line is the figures. How fast is not asked here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import worker

ROOT = Path(__file__).parents[2]


def last_line(*arguments: str, code: str = "import benchmarks.worker as b; b.main()") -> object:
    ran = subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=ROOT, capture_output=True, text=True,
        timeout=270, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_the_overhead_is_printed_and_what_was_not_run_is_null() -> None:
    code = (
        "import benchmarks.worker as b; r = b.run_echo_case\n"
        "b.run_echo_case = lambda: r((2_000,)); b.main()"
    )
    figures = last_line("--cases", "e", code=code)
    assert isinstance(figures, dict)
    assert tuple(figures) == worker.FIGURES
    assert figures.pop("overhead_us_per_line") > 0
    assert set(figures.values()) == {None}


@pytest.mark.vllm
def test_a_case_on_real_vllm_prints_its_ratios() -> None:
    figures = last_line("--cases", "a", "--requests", "40", "--pairs", "1")
    assert isinstance(figures, dict)
    assert figures["shuffled_vs_run_batch"] > 0
    # Every tenth request of ten computes what all ten share; a block or two are each one's own.
    assert figures["shuffled_cached"] > 0.7


def test_ratios_are_ours_over_theirs_in_throughput_and_in_steps() -> None:
    def run(seconds: float, steps: float = 1) -> dict[str, float]:
        return {"seconds": seconds, "steps": steps, "cached": 0.5}

    runs = {
        "ours": [run(2, 10), run(2, 10), run(4, 12)],
        "run_batch": [run(4), run(6), run(8)],
        "all_at_once": [run(2, 10), run(2, 8), run(2, 10)],
    }
    assert worker.figures_of("c", runs) == {
        "unshared_vs_run_batch": 2,
        "unshared_vs_all_at_once": 1,
        "unshared_steps_ratio": 1,
    }
