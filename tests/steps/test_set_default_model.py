"""An account's default model, set by an operator."""

from __future__ import annotations

import pytest

from offpeak.core.account import Account
from offpeak.core.errors import NotFound
from offpeak.core.ports import Add
from offpeak.memory.memory import Memory
from offpeak.steps.set_default_model import set_default_model


def test_a_default_model_is_set_kept_and_cleared() -> None:
    memory = Memory()
    memory.changes.commit(Add(Account(id="acct_1", name="a", created_at=0)))
    for model in ("chat", "chat", None):
        set_default_model("acct_1", model, accounts=memory.accounts, changes=memory.changes)
        assert memory.accounts.get("acct_1").default_model == model
    assert memory.accounts.get("acct_1").version == 3, "what is as it was is not written"
    with pytest.raises(NotFound):
        set_default_model("acct_2", None, accounts=memory.accounts, changes=memory.changes)
