from __future__ import annotations

import pytest

from offpeak.core.account import WEIGHT_MAX
from offpeak.core.errors import InvalidRequest, NotFound, StateConflict
from offpeak.core.ports import Add, Save
from offpeak.memory.memory import Memory
from offpeak.steps.set_weight import set_weight
from tests.steps.ward import ACCOUNT, Ward, call_step


@pytest.fixture
def ward() -> Ward:
    return Ward()


def test_an_account_weighs_one_until_somebody_says_otherwise(ward: Ward) -> None:
    assert ward.accounts.get(ACCOUNT).weight == 1
    assert ward.call(set_weight, ACCOUNT, 5).weight == 5
    assert ward.accounts.get(ACCOUNT).weight == 5


def test_the_same_weight_again_writes_nothing(ward: Ward) -> None:
    version = ward.accounts.get(ACCOUNT).version
    ward.call(set_weight, ACCOUNT, 1)
    assert ward.accounts.get(ACCOUNT).version == version


@pytest.mark.parametrize("weight", [0, -1, WEIGHT_MAX + 1])
def test_what_is_no_weight_is_refused(ward: Ward, weight: int) -> None:
    with pytest.raises(InvalidRequest):
        ward.call(set_weight, ACCOUNT, weight)


def test_an_unknown_account_has_none(ward: Ward) -> None:
    with pytest.raises(NotFound):
        call_step(Memory(), set_weight, "acct_unknown", 2)


def test_a_change_that_comes_between_is_kept(ward: Ward) -> None:
    commit = ward.changes.commit

    def late(*changes: Add | Save) -> None:
        ward.changes.commit = commit  # type: ignore[method-assign]
        account = ward.accounts.get(ACCOUNT)
        commit(Save(account))
        raise StateConflict("changed meanwhile")

    ward.changes.commit = late  # type: ignore[method-assign]
    assert ward.call(set_weight, ACCOUNT, 3).weight == 3
    assert ward.accounts.get(ACCOUNT).weight == 3
