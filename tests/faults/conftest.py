"""One faulty cloud for the tests of faults."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.faulty_cloud import FaultyCloud, faulty_cloud


@pytest.fixture(scope="session")
def shared(
    emulator_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FaultyCloud]:
    with faulty_cloud(emulator_python, tmp_path_factory.mktemp("faults")) as found:
        yield found


@pytest.fixture
def faulty(shared: FaultyCloud) -> Iterator[FaultyCloud]:
    """With a worker that is ready, an engine that answers, and nobody halted."""
    shared.engine.load()
    shared.engine.close_gate()
    shared.await_worker()
    yield shared
    shared.crossing.clear()
    shared.engine.load()
    shared.engine.open_gate()
