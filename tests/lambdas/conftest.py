from __future__ import annotations

import pytest

from tests.lambdas.api.client import Client, World


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def client(world: World) -> Client:
    return Client(world)
