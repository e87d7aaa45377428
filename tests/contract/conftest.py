"""One suite, three worlds: the adapters in memory, the same with objects on files, and those on AWS against the
emulator."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from offpeak.local.emulator import Emulator
from tests.contract.aws_world import AwsWorld, aws_world
from tests.contract.worlds import MemoryWorld, Ports, World


@pytest.fixture(scope="session")
def on_aws(emulator: Emulator) -> Iterator[AwsWorld]:
    with aws_world(emulator) as world:
        yield world


@pytest.fixture(params=["memory", "files", pytest.param("aws", marks=pytest.mark.cloud)])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "memory":
        return MemoryWorld()
    if request.param == "files":
        return MemoryWorld(request.getfixturevalue("tmp_path"))
    on_aws: AwsWorld = request.getfixturevalue("on_aws")
    return on_aws


@pytest.fixture
def ports(world: World) -> Ports:
    return world.ports
