"""Runs `python app.py` for the local stage. An assembly is kept by a digest of all that it is made from."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

MADE_FROM = (
    "app.py", "cdk.json", "stages.toml", "requirements-lambda.txt",
    "requirements-tokenizers.txt", "infra", "lambdas", "containers",
    "offpeak/__init__.py", "offpeak/core", "offpeak/wire", "offpeak/steps", "offpeak/planner", "offpeak/aws",
    "offpeak/worker",
)  # fmt: skip
SYNTHESIS_SECONDS_MAX = 600
KEPT_MAX = 8


class SynthesisFailed(RuntimeError):
    """app.py ended with an error; the message is what it wrote."""


def synthesise(root: Path, models: Path) -> Path:
    """The cloud assembly of the project at `root`, stage `local`, with the models of this file. Raises
    SynthesisFailed."""
    shelf = root / ".offpeak/assemblies"
    place = shelf / _digest(root, models)
    if not place.exists():
        shelf.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix="making-", dir=shelf))
        try:
            _run(root, models, made)
            made.rename(place)
        except OSError:
            if not place.exists():  # else another process made the same one meanwhile
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
        _forget_oldest(shelf)
    return place


def _digest(root: Path, models: Path) -> str:
    digest = hashlib.sha256(f"{sys.version}\0".encode())
    digest.update(models.read_bytes())
    for path in sorted(_sources(root)):
        digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes())
    return digest.hexdigest()[:20]


def _sources(root: Path) -> Iterator[Path]:
    for name in MADE_FROM:
        path = root / name
        if path.is_file():
            yield path
        else:
            yield from (p for p in path.rglob("*") if p.is_file() and p.suffix != ".pyc")


def _run(root: Path, models: Path, folder: Path) -> None:
    context = {
        "stage": "local",
        "target": "host",
        "models": str(models.absolute()),
        "deploy": "all",
    }
    done = subprocess.run(
        [sys.executable, str(root / "app.py")],
        cwd=root,
        env={
            **os.environ,
            "CDK_CONTEXT_JSON": json.dumps(context),
            "CDK_OUTDIR": str(folder),
            "JSII_SILENCE_WARNING_UNTESTED_NODE_VERSION": "1",
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SYNTHESIS_SECONDS_MAX,
        check=False,
    )
    if done.returncode != 0:
        raise SynthesisFailed(f"app.py ended with status {done.returncode}:\n{done.stderr[-4000:]}")


def _forget_oldest(shelf: Path) -> None:
    """Assemblies hold copies of the bundles: a few are enough."""
    kept = sorted(shelf.glob("[0-9a-f]*"), key=lambda place: place.stat().st_mtime)
    for place in kept[:-KEPT_MAX]:
        shutil.rmtree(place, ignore_errors=True)
