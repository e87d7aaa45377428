"""What a world draws besides its seed's own choices: ids sort among each other by random digits, and tries pause at
random. A test draws the same ones whenever it runs, so that a seed which fails fails again."""

from __future__ import annotations

import random
import secrets
from collections.abc import Iterator
from random import Random

import pytest


@pytest.fixture(autouse=True)
def drawn_alike(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    state = random.getstate()
    random.seed(request.node.nodeid)
    monkeypatch.setattr(secrets, "_sysrand", Random(f"ids {request.node.nodeid}"))
    yield
    random.setstate(state)
