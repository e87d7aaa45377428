"""Seeded bugs: patches that each break one rule of ARCHITECTURE.md's. A simulation that misses one is blind there.

Each is applied to a copy of the sources and lived through, seed after seed, until a promise is seen to break. The seeds
that once showed it are beside the patches (`caught_by.json`) and come first: only where they don't show it any more are
others tried.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATCHES = Path(__file__).parent / "patches"
CAUGHT_BY = PATCHES / "caught_by.json"
SEEDS_MAX = 150
SEEDS_KEPT = 3
_SOURCES = ("offpeak", "tests/steps", "tests/simulation")

_UNTIL_CAUGHT = """
import json, sys
from tests.simulation.runner import simulate_seed
for seed in json.loads(sys.argv[1]):
    outcome = simulate_seed(seed)
    if outcome.violation:
        print(json.dumps([seed, outcome.violation]))
        break
else:
    print(json.dumps([None, None]))
"""


@dataclass(frozen=True, slots=True)
class Caught:
    """By the first seed that shows the bug; None where none of `SEEDS_MAX` does."""

    name: str
    seed: int | None
    violation: str | None


def mutants() -> list[str]:
    """Their names. Raises ValueError for patches that the sources have outgrown."""
    names = sorted(path.stem for path in PATCHES.glob("*.patch"))
    stale = [name for name in names if not applies(name)]
    if stale:
        raise ValueError(
            f"These patches don't apply any more: {', '.join(stale)}. `python -m tests.simulation.renew` makes them "
            "anew, or says what to do."
        )
    return names


def applies(name: str) -> bool:
    return not git_apply(PATCHES / f"{name}.patch", ROOT, "--check").returncode


def try_mutant(name: str) -> Caught:
    first = seeds_that_caught().get(name, [])
    others = [seed for seed in range(SEEDS_MAX) if seed not in first]
    return _try(name, [*first, *others])


def seeds_that_caught() -> Mapping[str, Sequence[int]]:
    found: dict[str, list[int]] = json.loads(CAUGHT_BY.read_text()) if CAUGHT_BY.exists() else {}
    return found


def remember(caught: Iterable[Caught]) -> None:
    """Writes beside the patches which seeds showed them, the newest first; what has no patch any more goes."""
    known = seeds_that_caught()
    found: dict[str, list[int]] = {}
    for each in caught:
        before = [seed for seed in known.get(each.name, []) if seed != each.seed]
        seeds = before if each.seed is None else [each.seed, *before]
        found[each.name] = seeds[:SEEDS_KEPT]
    lines = ",\n".join(f"  {json.dumps(name)}: {found[name]}" for name in sorted(found))
    CAUGHT_BY.write_text(f"{{\n{lines}\n}}\n")


def _try(name: str, seeds: Sequence[int]) -> Caught:
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder)
        for source in _SOURCES:
            ignored = shutil.ignore_patterns("__pycache__", "*.patch")
            shutil.copytree(ROOT / source, copy / source, ignore=ignored)
        git_apply(PATCHES / f"{name}.patch", copy).check_returncode()
        seed, violation = _live(copy, seeds)
    return Caught(name, seed, violation)


def _live(copy: Path, seeds: Sequence[int]) -> tuple[int | None, str | None]:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _UNTIL_CAUGHT, json.dumps(seeds)],
        cwd=copy, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    if ran.returncode:
        raise RuntimeError(f"A world with a seeded bug broke down:\n{ran.stderr[-2_000:]}")
    seed, violation = json.loads(ran.stdout.splitlines()[-1])
    return seed, violation


def git_apply(patch: Path, where: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """In a folder that need not be a repository."""
    return subprocess.run(
        ["git", "apply", *flags, str(patch)],
        cwd=where, capture_output=True, text=True, check=False,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(where.parent)},
    )  # fmt: skip
