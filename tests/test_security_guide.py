"""docs/security.md names every store, and no test that isn't there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infra.storage import TABLES
from offpeak.core.drop import DROP_PREFIX
from offpeak.core.layout import OWN_PREFIXES

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs/security.md").read_text()
KEPT = GUIDE[GUIDE.index("## What is kept") :].partition("\n## ")[0]


@pytest.mark.parametrize("prefix", [*OWN_PREFIXES, DROP_PREFIX])
def test_it_says_how_long_what_lies_under_a_prefix_is_kept(prefix: str) -> None:
    assert re.search(rf"^\|[^|]*`{prefix}`", KEPT, re.M)


@pytest.mark.parametrize("table", TABLES)
def test_it_says_of_each_table_that_no_prompt_is_in_it(table: str) -> None:
    [row] = re.findall(r"^\| tables[^|]*\|", KEPT, re.M)
    assert f"`{table}`" in row


def test_the_tests_that_it_names_are_there() -> None:
    named = set(re.findall(r"\btests(?:/\w+)+(?:\.py)?", GUIDE)) | {
        name.replace(".", "/") + ".py" for name in re.findall(r"-m (tests(?:\.\w+)+)", GUIDE)
    }
    assert len(named) > 20
    assert sorted(name for name in named if not (ROOT / name).exists()) == []


def test_its_own_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", GUIDE, re.M)
    }
    assert set(re.findall(r"\]\(#([\w-]+)\)", GUIDE)) <= headings
    for path in re.findall(r"\]\(([\w/.-]+\.md)", GUIDE):
        assert (ROOT / "docs" / path).exists(), path
