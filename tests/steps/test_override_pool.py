from dataclasses import replace

import pytest

from offpeak.core.errors import InvalidRequest, NotFound
from offpeak.core.plan import Override, OverrideKind
from offpeak.core.pool import ModelPools
from offpeak.core.ports import Add
from offpeak.memory.memory import Memory
from offpeak.steps.override_pool import OVERRIDE_SECONDS_MAX, override_pool
from tests.steps.simulation import CATALOGUE

POOL, NOW = "red-pool", 1_000
HOLD = Override(kind=OverrideKind.HOLD, until=NOW + 60)


def say(memory: Memory, override: Override | None, pool: str = POOL) -> ModelPools:
    return override_pool(
        pool, override, now=NOW, catalogue=CATALOGUE, pools=memory.pools, changes=memory.changes
    )


@pytest.mark.parametrize("planned", [False, True])
def test_a_word_is_kept_whether_or_not_anything_was_planned(planned: bool) -> None:
    memory = Memory()
    if planned:
        memory.changes.commit(Add(ModelPools(id=POOL)))
    assert say(memory, HOLD).state(POOL).override == HOLD
    assert memory.pools.get(POOL).state(POOL).override_at(NOW) == HOLD
    assert say(memory, None).state(POOL).override is None


@pytest.mark.parametrize(
    "wrong",
    [
        replace(HOLD, until=NOW),
        replace(HOLD, until=NOW + OVERRIDE_SECONDS_MAX + 1),
        Override(kind=OverrideKind.BOOST, until=NOW + 60, instances=0),
        Override(kind=OverrideKind.BOOST, until=NOW + 60, instances=2),
    ],
)
def test_a_word_that_cannot_hold_is_refused(wrong: Override) -> None:
    with pytest.raises(InvalidRequest):
        say(Memory(), wrong)


@pytest.mark.parametrize("pool", ["nobody", f"{POOL}@eu-north-1"])
def test_a_pool_that_no_model_has_is_not_found(pool: str) -> None:
    with pytest.raises(NotFound, match="red-pool"):
        say(Memory(), HOLD, pool)
