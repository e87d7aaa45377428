"""What people read of a batch's footprint, and of when it will be done."""

from __future__ import annotations

from typing import Any

from offpeak.cli.footprint import _fields
from offpeak.cli.show import _batch_fields
from offpeak.cli.usage import _estimate_error, _footprint

FIGURES = {
    "instance_seconds": 1_234.5, "energy": 0.25, "carbon": 80.0, "carbon_at_once": 100.0,
    "carbon_saved": 20.0, "gpu_cost": {"value": 0.9, "currency": "usd", "microdollars": 900_000},
    "instance_seconds_without_power": 0.0, "instance_seconds_without_price": 34.5,
}  # fmt: skip


def found(figures: dict[str, Any] | None) -> dict[str, Any]:
    return {
        "batch_id": "batch_1", "status": "in_progress", "is_final": False, "figures": figures,
        "method": {"signals": {"eu-north-1": ["Electricity Maps, SE", "yearly average"]}},
    }  # fmt: skip


def test_a_receipt_is_a_field_a_line_with_its_sources() -> None:
    shown = list(_fields(found(FIGURES)))
    assert ("status", "in_progress: so far") in shown
    assert ("energy", "0.25 kWh") in shown
    assert ("saved", "20 g CO2eq") in shown
    assert ("gpu cost", "$0.90 (without 34.5 s of a type whose price isn't known)") in shown
    assert ("signals", "eu-north-1: Electricity Maps, SE; yearly average") in shown


def test_what_was_not_measured_says_so() -> None:
    assert list(_fields(found(None)))[-1] == ("footprint", "nothing was measured")
    assert _footprint(None) == ("", "", "", "")
    assert _footprint(FIGURES) == ("0.25", "80", "100", "$0.90")


def test_how_far_off_ends_were_foretold_is_in_percent() -> None:
    assert _estimate_error({"at_10": 12.34, "at_50": None}) == ("12.3 %", "")
    assert _estimate_error(None) == ("", "")


def test_a_running_batch_shows_when_it_begins_and_when_it_will_be_done() -> None:
    batch = {
        "id": "batch_1", "status": "in_progress", "endpoint": "/v1/completions", "created_at": 1,
        "input_file_id": "file-1",
        "estimated_completion": {
            "p50": 1_767_225_600, "p90": 1_767_229_200, "planned_start": 1_767_222_000,
            "basis": "prior",
        },
    }  # fmt: skip
    shown = dict(_batch_fields(batch))
    assert shown["planned"] == "2025-12-31 23:00:00Z"
    assert shown["done"].startswith("about 2026-01-01 00:00:00Z, by 2026-01-01 01:00:00Z in nine")
    assert shown["done"].endswith("before anything of it was measured")
