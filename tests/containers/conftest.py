"""One bucket and one set of tables for all container tests of a session."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from offpeak.local.emulator import Emulator
from tests.containers.container import Containers
from tests.contract.aws_world import aws_world


@pytest.fixture(scope="session")
def containers(
    emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Containers]:
    with aws_world(emulator) as aws:
        yield Containers(emulator, aws, tmp_path_factory.mktemp("containers"))
