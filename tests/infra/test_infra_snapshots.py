"""What a change of infra does to every stage's templates is read in a diff."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from app import ROOT
from infra.bundles import Bundles
from tests.infra import door_cost
from tests.infra.idle_cost import BEGIN, END, Row, put_into, render
from tests.infra.snapshots import (
    DEPLOY_GUIDE,
    DOOR_GUIDE,
    FOLDER,
    RIGHTS,
    SNAPSHOTS,
    render_rights,
    render_stage,
    representative,
    synthesise_stage,
)
from tests.infra.snapshots import render as render_template
from tests.infra.synthesised import Synthesised

AGAIN = "run `make snapshots`, and read the difference before you commit it"


@pytest.mark.parametrize("name", SNAPSHOTS)
def test_the_templates_are_those_that_were_reviewed(
    name: str, bundles: Bundles, hardened: Synthesised
) -> None:
    made = render_stage(
        name, hardened if name == "prod-hardened" else synthesise_stage(name, bundles)
    )
    kept = {path.stem: path.read_text() for path in (FOLDER / name).glob("*.yaml")}
    differing = sorted(part for part in made.keys() | kept if made.get(part) != kept.get(part))
    assert not differing, f"{name}: {', '.join(differing)} changed: {AGAIN}"


def test_what_each_role_may_do_is_what_was_reviewed(hardened: Synthesised) -> None:
    assert render_rights(hardened) == RIGHTS.read_text(), AGAIN


def test_no_snapshot_is_of_a_stage_that_is_gone() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(SNAPSHOTS), AGAIN


def test_what_an_asset_holds_changes_no_snapshot() -> None:
    first, second = ({"S3Key": f"{digit * 64}.zip"} for digit in "ab")
    assert render_template(first) == render_template(second) == "S3Key: <asset>.zip\n"


def test_an_idle_stage_costs_what_the_guide_says(bundles: Bundles) -> None:
    guide = DEPLOY_GUIDE.read_text()
    assert put_into(guide, bundles, representative()) == guide, AGAIN


def test_the_door_costs_what_its_guide_says(bundles: Bundles) -> None:
    guide = DOOR_GUIDE.read_text()
    assert door_cost.put_into(guide, bundles, representative()) == guide, AGAIN
    assert re.search(r"\| Fargate \| 1 task of 1 vCPU and 2 GB \| 3\d\.\d\d \|", guide)


def test_the_readme_names_the_doors_price() -> None:
    [total] = re.findall(r"\*\*sum\*\* \| \| \*\*([\d.]+)\*\*", DOOR_GUIDE.read_text())
    readme = " ".join((ROOT / "README.md").read_text().split())
    assert f"costs about ${float(total):.0f} a month" in readme


def test_the_sum_is_of_the_amounts_that_stand_above_it() -> None:
    guide = DEPLOY_GUIDE.read_text()
    table = guide[guide.index(BEGIN) : guide.index(END)]
    *amounts, total = re.findall(r"\| \**(\d+\.\d\d)\** \|$", table, re.M)
    assert len(amounts) > 5
    assert float(total) == pytest.approx(sum(map(float, amounts)))
    assert "| **sum** | | **0.03** |" in render([Row("a", "", 0.014), Row("b", "", 0.016)])


def test_snapshots_are_short_enough_to_be_read() -> None:
    assert sum(path.stat().st_size for path in Path(FOLDER).rglob("*.yaml")) < 2_000_000
