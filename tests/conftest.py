"""What the whole suite shares: the emulator's interpreter, and one local cloud for the tests that need one.

Tests marked `cloud` start the emulator; those that take the fixture `cloud` share one local cloud per pytest process:
with `-n 2`, one per worker. `--dist loadfile` keeps a file's tests on one of them, so that what a file shares is
started once.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from offpeak.local.cloud import LocalCloud
from offpeak.local.emulator import Emulator

ROOT = Path(__file__).parent.parent

# No example is a failure for having been slow: how fast a machine is says nothing about the code.
settings.register_profile("offpeak", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("offpeak")


@pytest.fixture(scope="session")
def emulator_python() -> Path:
    """The interpreter of the emulator's venv, made by `make test`. OFFPEAK_EMULATOR_PYTHON names another."""
    default = ROOT / ".offpeak/venvs/emulator/bin/python"
    python = Path(os.environ.get("OFFPEAK_EMULATOR_PYTHON", default))
    if not python.exists():
        pytest.fail(f"The emulator's venv is missing ({python}): run `make setup`.")
    return python


@pytest.fixture(scope="session")
def emulator(emulator_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One bare emulator for the session. Tests use names of their own in it; it is never reset."""
    with Emulator(emulator_python, tmp_path_factory.mktemp("emulator")) as running:
        yield running


@pytest.fixture(scope="session")
def cloud(emulator_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCloud]:
    """One local cloud with the echo engine for the session. Tests bring accounts of their own."""
    with LocalCloud(
        engine="echo", folder=tmp_path_factory.mktemp("cloud"), emulator_python=emulator_python
    ) as running:
        running.wait_for_workers()
        yield running
