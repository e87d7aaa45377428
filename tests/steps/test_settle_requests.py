"""Stand-alone requests are settled once a shard and account, whoever says so and however often."""

from dataclasses import replace

import pytest

from offpeak.core.account import Account, Billing
from offpeak.core.ports import Add
from offpeak.core.usage import Usage
from offpeak.memory.memory import Memory
from offpeak.steps.settle_requests import AnsweredRequests, settle_requests
from tests.contract import rows
from tests.steps.simulation import PRICES
from tests.steps.test_post_entries import entries_of

RUN = replace(rows.run("gather_1"), model="blue", prices=PRICES["blue"], input_bytes=1_000)
SHARD = rows.shard("gather_1")
ANSWERED = {
    "acct_1": AnsweredRequests(2, Usage(input_tokens=1_000_000, output_tokens=2_000_000)),
    "acct_2": AnsweredRequests().plus(Usage(input_tokens=5)).plus(Usage(input_tokens=5)),
    "acct_3": AnsweredRequests(),
    "acct_gone": AnsweredRequests(1, Usage(input_tokens=1)),
}


@pytest.mark.parametrize("billing", Billing)
def test_each_account_pays_its_own_requests_once(billing: Billing) -> None:
    memory = Memory()
    for name in ("acct_1", "acct_2", "acct_3"):
        memory.changes.commit(Add(Account(id=name, name=name, created_at=0, billing=billing)))
    for _ in range(3):
        settle_requests(
            SHARD, RUN, ANSWERED, clock=memory.clock, accounts=memory.accounts,
            ledger=memory.ledger, changes=memory.changes,
        )  # fmt: skip
        memory.clock.advance(60)
    paid = 0 if billing is Billing.OFF else 1
    balances = {name: memory.ledger.balance(name).microdollars for name in ANSWERED}
    # $0.10 and $0.15 a million, batch prices already; ten tokens cost one micro-dollar
    assert balances == {
        "acct_1": -400_000 * paid, "acct_2": -1 * paid, "acct_3": 0, "acct_gone": 0,
    }  # fmt: skip
    (entry,) = entries_of(memory, "acct_2")
    (used,) = entry.models
    assert (entry.source, used.model, used.requests, used.input_bytes) == (
        SHARD.id, "blue", 2, 200,
    )  # fmt: skip
    assert not entries_of(memory, "acct_3")
