"""Seeded bugs: patches that each break one rule of ARCHITECTURE.md's. A simulation that misses one is blind there.

Each is applied to a copy of the sources and lived through, seed after seed, until a promise is seen to break.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATCHES = Path(__file__).parent / "patches"
SEEDS_MAX = 200
_SOURCES = ("offpeak", "tests/steps", "tests/simulation")

_UNTIL_CAUGHT = """
import json, sys
from tests.simulation.runner import simulate_seed
for seed in range(int(sys.argv[1])):
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
    """Their names. Raises ValueError for a patch that the sources have outgrown: it must be made anew."""
    names = sorted(path.stem for path in PATCHES.glob("*.patch"))
    for name in names:
        applied = _git_apply(name, ROOT, "--check")
        if applied.returncode:
            raise ValueError(f"{name}.patch doesn't apply any more: {applied.stderr.strip()}")
    return names


def try_mutant(name: str) -> Caught:
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder)
        for source in _SOURCES:
            _copy(ROOT / source, copy / source)
        _git_apply(name, copy).check_returncode()
        seed, violation = _live(copy)
    return Caught(name, seed, violation)


def _live(copy: Path) -> tuple[int | None, str | None]:
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _UNTIL_CAUGHT, str(SEEDS_MAX)],
        cwd=copy, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(copy), "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    if ran.returncode:
        return None, None if "Violation" not in ran.stderr else ran.stderr[-200:]
    seed, violation = json.loads(ran.stdout.splitlines()[-1])
    return seed, violation


def _git_apply(name: str, where: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    """In a folder that need not be a repository."""
    return subprocess.run(
        ["git", "apply", *flags, str(PATCHES / f"{name}.patch")],
        cwd=where, capture_output=True, text=True, check=False,
        env={**os.environ, "GIT_CEILING_DIRECTORIES": str(where.parent)},
    )  # fmt: skip


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    elif source.exists():
        shutil.copy(source, target)
