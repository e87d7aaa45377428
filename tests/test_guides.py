"""What the guides, comments and docstrings name is there: files, `make` targets, the commands of `offpeak`, modules."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperGroup

from offpeak.cli.main import app

ROOT = Path(__file__).parent.parent
GUIDES = [
    path
    for pattern in ("*.md", "docs/*.md")
    for path in sorted(ROOT.glob(pattern))
    if path.name != "CHANGELOG.md"  # of its own days
]
DECISIONS = sorted(ROOT.glob("docs/decisions/*.md"))
ROOMS = ("offpeak", "lambdas", "containers", "infra", "benchmarks")
SHORT_FOR = ("", "offpeak/", "offpeak/worker/", "docs/", "infra/", "tests/", "tests/infra/")
"""What a path may begin behind: `core/run.py` is `offpeak/core/run.py`."""
FILE = re.compile(r"(?<![\w/.{}*<-])((?:[\w.-]+/)*[\w.-]+\.(?:py|md|toml|mjs))(?![\w/])")
COMMAND = re.compile(r"(?<![\w./-])offpeak ((?:[a-z][a-z-]*(?!\S) ?)*)([^`\n#|]*)")
COMMANDS = typer.main.get_command(app)


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _code(guide: Path) -> Iterator[str]:
    """What is set as code: lines of blocks, and spans."""
    text = guide.read_text()
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S):
        yield from block.splitlines()
    yield from re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))


@pytest.fixture(scope="module")
def files() -> frozenset[str]:
    found = [path for path in ROOT.glob("*") if path.is_file()]
    for folder in (*ROOMS, "tests", "docs", "examples"):
        found += (path for path in (ROOT / folder).rglob("*") if "node_modules" not in path.parts)
    return frozenset(map(_name, found))


def _missing(path: Path, files: frozenset[str]) -> list[str]:
    """Files that are named and not there. A name without a folder may be of any."""
    names = {name.rpartition("/")[2] for name in files}
    return [
        named
        for named in FILE.findall(path.read_text())
        if "VERB" not in named  # a name to be given
        and named not in names
        and not any(f"{prefix}{named}" in files for prefix in SHORT_FOR)
        and not (path.parent / named).exists()
    ]


@pytest.mark.parametrize("guide", GUIDES, ids=_name)
def test_the_files_that_a_guide_names_are_there(guide: Path, files: frozenset[str]) -> None:
    assert _missing(guide, files) == []


def test_the_files_that_comments_and_docstrings_name_are_there(files: frozenset[str]) -> None:
    sources = [ROOT / name for name in files if name.endswith(".py") and name.startswith(ROOMS)]
    assert len(sources) > 300
    assert {_name(path): found for path in sources if (found := _missing(path, files))} == {}


def test_the_decisions_that_are_named_are_there(files: frozenset[str]) -> None:
    written = {path.name[:4] for path in DECISIONS}
    sources = [*GUIDES, *DECISIONS, *(ROOT / name for name in files if name.endswith(".py"))]
    named = re.compile(r"\bdecisions?[ /](\d{4})\b")
    assert {number for path in sources for number in named.findall(path.read_text())} <= written


@pytest.mark.parametrize("guide", [*GUIDES, *DECISIONS], ids=_name)
def test_links_between_guides_lead_somewhere(guide: Path) -> None:
    for path, heading in re.findall(
        r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)", guide.read_text()
    ):
        target = guide if not path else guide.parent / path
        assert target.exists(), path
        if heading:
            assert heading in _headings(target), f"{path}#{heading}"


def _headings(guide: Path) -> set[str]:
    """As GitHub makes anchors of them."""
    titles = re.findall(r"^#+ (.+)$", guide.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", title).strip().lower().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("guide", GUIDES, ids=_name)
def test_a_guide_calls_targets_that_the_makefile_has(guide: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    called = {name for code in _code(guide) for name in re.findall(r"\bmake ([a-z-]+)", code)}
    assert called <= targets


@pytest.mark.parametrize("guide", GUIDES, ids=_name)
def test_a_guide_runs_modules_that_are_there(guide: Path) -> None:
    for module in re.findall(r"python[\d.]* (?:-W \w+ )?-m ([a-z_.]+)", "\n".join(_code(guide))):
        assert importlib.util.find_spec(module), module


@pytest.mark.parametrize("guide", GUIDES, ids=_name)
def test_a_guide_calls_commands_and_options_that_offpeak_has(guide: Path) -> None:
    for code in _code(guide):
        for words, rest in COMMAND.findall(code):
            command, left = _command(words.split())
            assert command is not COMMANDS or not left, f"offpeak {words}"
            options = {each for parameter in command.params for each in parameter.opts}
            assert set(re.findall(r"(?<!\S)--?[a-z][a-z-]*", rest)) <= options, code


def _command(words: list[str]) -> tuple[Any, list[str]]:
    """The command that these words call, and those that are left as its arguments."""
    found = COMMANDS
    while words and isinstance(found, TyperGroup) and words[0] in found.commands:
        found, words = found.commands[words[0]], words[1:]
    return found, words


def test_all_that_is_checked_is_found() -> None:
    """So that a pattern that finds nothing any more doesn't pass."""
    codes = [code for guide in GUIDES for code in _code(guide)]
    assert sum(bool(COMMAND.search(code)) for code in codes) > 60
    assert len({name for code in codes for name in re.findall(r"\bmake ([a-z-]+)", code)}) > 20
    assert sum(len(FILE.findall(guide.read_text())) for guide in GUIDES) > 150
