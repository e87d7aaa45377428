import pytest

from offpeak.core.account import Account
from offpeak.core.errors import InvalidRequest
from offpeak.core.ports import Add
from offpeak.core.schedule import Schedule
from offpeak.memory.memory import Memory
from offpeak.steps.set_schedule import set_schedule


@pytest.fixture
def memory() -> Memory:
    memory = Memory()
    memory.changes.commit(Add(Account(id="acct_1", name="a", created_at=0)))
    return memory


def test_a_schedule_and_a_window_are_set_and_cleared(memory: Memory) -> None:
    ports = {"accounts": memory.accounts, "changes": memory.changes}
    set_schedule("acct_1", Schedule.OFFPEAK, "48h", **ports)  # type: ignore[arg-type]
    found = memory.accounts.get("acct_1")
    assert (found.schedule, found.completion_window) == (Schedule.OFFPEAK, "48h")
    set_schedule("acct_1", None, None, **ports)  # type: ignore[arg-type]
    found = memory.accounts.get("acct_1")
    assert (found.schedule, found.completion_window) == (None, None)


def test_a_window_that_is_none_is_refused(memory: Memory) -> None:
    with pytest.raises(InvalidRequest):
        set_schedule("acct_1", None, "a while", accounts=memory.accounts, changes=memory.changes)
