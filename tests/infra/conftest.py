"""The stacks of every stage, synthesised once for the session, with assets that are as good as empty."""

from __future__ import annotations

import pytest

from app import ROOT
from infra.bundles import Bundles
from offpeak.core.catalogue import Catalogue, parse_catalogue
from tests.infra.door_stage import DOOR_STAGE
from tests.infra.hardened_stage import HARDENED_STAGE, with_staged_weights
from tests.infra.snapshots import empty_bundles, representative
from tests.infra.synthesised import Synthesised, synthesise

POOLS = ("qwen2-5-7b-instruct", "phi-4", "qwen3-embedding-0-6b")


@pytest.fixture(scope="session")
def every_model() -> Catalogue:
    return parse_catalogue((ROOT / "models.toml").read_text())


@pytest.fixture(scope="session")
def catalogue(every_model: Catalogue) -> Catalogue:
    """Three models are enough to look at a stage's stacks."""
    return Catalogue(tuple(every_model.of_pool(pool) for pool in POOLS))


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    return empty_bundles(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def prod(bundles: Bundles, catalogue: Catalogue) -> Synthesised:
    return synthesise("prod", bundles, catalogue)


@pytest.fixture(scope="session")
def with_door(bundles: Bundles, catalogue: Catalogue) -> Synthesised:
    """`prod` with a door."""
    return synthesise(DOOR_STAGE, bundles, catalogue)


@pytest.fixture(scope="session")
def hardened(bundles: Bundles) -> Synthesised:
    """`prod` with a door and all that can be set for its safety."""
    return synthesise(HARDENED_STAGE, bundles, with_staged_weights(representative()))


@pytest.fixture(scope="session")
def dev(bundles: Bundles, catalogue: Catalogue) -> Synthesised:
    return synthesise("dev", bundles, catalogue)


@pytest.fixture(scope="session")
def local(bundles: Bundles, catalogue: Catalogue) -> Synthesised:
    return synthesise("local", bundles, catalogue)
