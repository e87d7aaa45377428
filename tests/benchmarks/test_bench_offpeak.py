"""The benchmark of capacity plans, on a generated fortnight. What a year says is in docs/offpeak.md."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.linear_program import clairvoyant
from benchmarks.offpeak_year import HOUR, Forecasts, generate_year, read_year, shortened

ROOT = Path(__file__).parents[2]


@pytest.fixture
def signals(tmp_path: Path) -> Path:
    """Ten days of one region, as a CSV."""
    year = shortened(generate_year(), 10 * 24)
    region = year.regions[0]
    rows = [f"{hour},{year.grams[region][hour]:.1f}" for hour in range(year.hours)]
    path = tmp_path / "signals.csv"
    path.write_text("\n".join((f"hour,{region}", *rows)))
    return path


def test_ten_days_miss_no_deadline_and_save_carbon(signals: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        [
            sys.executable, "-m", "benchmarks.offpeak", "--signals", str(signals), "--traces",
            "bursty", "--situations", "2", "--plots", str(tmp_path / "plots"),
        ],
        cwd=ROOT, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert set(figures) == {
        "saving_vs_clairvoyant", "deadlines_missed", "gpu_seconds_ratio", "plan_vs_lp_worst",
        "plan_ms",
    }  # fmt: skip
    assert figures["saving_vs_clairvoyant"] > 0.5
    assert figures["deadlines_missed"] == 0
    assert 1 <= figures["plan_vs_lp_worst"] <= 1.02
    assert {each.name for each in (tmp_path / "plots").iterdir()} == {
        "offpeak-emissions.png", "offpeak-week.png",
    }  # fmt: skip


def test_a_clairvoyant_works_in_the_cheapest_hours_that_deadlines_allow() -> None:
    grams = np.array([5.0, 1.0, 4.0, 2.0, 3.0, 9.0])
    arrived = np.array([1.0, 0.0, 0.0, 1.0, 0.0, 0.0])
    found = clairvoyant(
        {"r": grams}, {"r": 1}, arrived, window_hours=3, kilowatts=1.0, start_hours=0.0
    )
    assert found.grams == pytest.approx(1.0 + 2.0)
    dear = clairvoyant(
        {"r": grams}, {"r": 1}, arrived, window_hours=3, kilowatts=1.0, start_hours=10.0
    )
    assert dear.grams == pytest.approx(10.0)  # half an instance, once, for four hours


def test_forecasts_err_by_what_is_asked_and_anew_with_each_issue() -> None:
    year = shortened(generate_year(), 200 * 24)
    region = year.regions[0]
    truth = year.grams[region]
    exact, noisy = Forecasts(year, 0.0, 1), Forecasts(year, 0.05, 1)

    def told(by: Forecasts, hour: int) -> list[float]:
        newest = by.newest(region, hour)[0]
        assert hour * HOUR - newest.issued_at < 6 * HOUR
        return [point.value for point in newest.points if point.start >= hour * HOUR][:48]

    assert told(exact, 30) == pytest.approx(list(truth[30:78]))
    errors = np.concatenate([told(noisy, h) - truth[h : h + 48] for h in range(0, 4_000, 6)])
    assert errors.std() == pytest.approx(0.05 * truth.mean(), rel=0.05)
    assert told(noisy, 5)[1] != told(noisy, 6)[0]
    assert told(noisy, 6)[1] == told(noisy, 7)[0]


def test_earlier_issues_are_those_of_two_days_and_none_of_the_future() -> None:
    year = shortened(generate_year(), 20 * 24)
    forecasts = Forecasts(year, 0.05, 1)
    for hour in (0, 5, 6, 47, 200):
        ages = [hour - told.issued_at // HOUR for told in forecasts.newest(year.regions[0], hour)]
        assert ages == list(range(hour % 6, min(hour, hour % 6 + 48) + 1, 6))


def test_signals_with_gaps_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(
        "hour,a\n" + "\n".join(f"{hour},{'' if hour == 9 else 5}" for hour in range(200))
    )
    with pytest.raises(ValueError, match="could not convert"):
        read_year(path)
