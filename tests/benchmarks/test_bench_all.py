"""`make bench` knows every benchmark there is, and keeps what each said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import run_all

MAKEFILE = (run_all.ROOT / "Makefile").read_text()


def test_every_benchmark_claims_something_and_every_size_is_of_one() -> None:
    found = run_all.targets(MAKEFILE)
    assert {"bench-cost", "bench-requests", "bench-small-batch"} <= set(found)
    assert len(set(found)) == len(found)
    assert set(found) <= set(run_all.CLAIMS)
    assert set(run_all.SIZES) <= set(run_all.CLAIMS)


@pytest.mark.parametrize(
    ("output", "figures"),
    [('busy\n{"a": 1}\n', {"a": 1}), ("", None), ("12", None), ('{"a": 1}\nTraceback', None)],
)
def test_figures_are_the_last_line(output: str, figures: dict[str, int] | None) -> None:
    assert run_all.last_line(output) == figures


def test_what_was_said_is_kept_with_where_and_when(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Makefile").write_text(
        "setup:\n\t@false\nbench-good: setup\n\t@echo busy; echo '{\"lines\": 5}'\n"
        "bench-bad: setup\n\t@echo no luck; exit 3\n"
    )
    guide = tmp_path / "guide.md"
    guide.write_text(f"before\n{run_all.BEGIN}\nold\n{run_all.END}\nafter\n")
    monkeypatch.setattr(run_all, "ROOT", tmp_path)
    monkeypatch.setattr(run_all, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(run_all, "GUIDE", guide)
    assert run_all.main([]) == 1
    good, bad = (
        json.loads((tmp_path / f"results/{name}.json").read_text()) for name in ("good", "bad")
    )
    assert good["figures"] == {"lines": 5}
    assert set(good) == {
        "command", "date", "commit", "machine", "load_before", "seconds", "figures",
    }  # fmt: skip
    assert bad["error"] == "no luck"
    assert run_all.figures_in_words({"s": {"join": 1.5}, "lines": 5_000}) == (
        "s **join 1.5**, lines **5,000**"
    )
    assert run_all.table() in guide.read_text()
    assert "old" not in guide.read_text().split()


def test_the_page_shows_what_is_kept() -> None:
    guide = run_all.GUIDE.read_text()
    assert run_all.put_into(guide) == guide, "run: python -m benchmarks.run_all --render"
