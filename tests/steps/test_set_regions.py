import pytest

from offpeak.core.account import Account
from offpeak.core.errors import InvalidRequest
from offpeak.core.ports import Add
from offpeak.memory.memory import Memory
from offpeak.steps.set_regions import set_regions


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    memory.changes.commit(Add(Account(id="acct_1", name="a", created_at=0)))
    return memory


def test_lines_may_be_worked_anywhere_somewhere_or_at_home_alone(memory: Memory) -> None:
    def allow(regions: list[str] | None) -> Account:
        return set_regions("acct_1", regions, accounts=memory.accounts, changes=memory.changes)

    assert memory.accounts.get("acct_1").may_work_in("eu-north-1")
    north = allow(["eu-north-1", "eu-north-1"])
    assert north.regions == ("eu-north-1",)
    assert [north.may_work_in(each) for each in (None, "eu-north-1", "us-west-2")] == [
        True, True, False,
    ]  # fmt: skip
    assert not allow([]).may_work_in("eu-north-1")
    assert allow(None).may_work_in("us-west-2")


def test_what_is_no_region_is_refused(memory: Memory) -> None:
    with pytest.raises(InvalidRequest, match="Europe"):
        set_regions("acct_1", ["Europe"], accounts=memory.accounts, changes=memory.changes)
