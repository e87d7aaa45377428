"""What an entry of the audit trail tells, and what it must not."""

from __future__ import annotations

import json

from offpeak.core.account import Account, ApiKey, Limits, hash_secret
from offpeak.core.audit import DETAILS_CHARACTERS_MAX, UNTOLD, audited

KEY = ApiKey(
    hash=hash_secret("sk-offpeak-1", b"pepper"), id="key_1", account_id="acct_1", name="ci", last4="1234",
    created_at=1,
)  # fmt: skip


def test_an_entry_says_what_the_rows_are_now() -> None:
    account = Account(id="acct_1", name="research", created_at=1, limits=Limits(open_batches_max=7))
    entry = audited([account], id="audit_1", at=5, actor="me", action="offpeak accounts limits")
    assert entry.subjects == entry.account_ids == ("acct_1",)
    assert json.loads(entry.details)["Account acct_1"]["limits"]["open_batches_max"] == 7


def test_no_entry_holds_what_opens_something() -> None:
    entry = audited([KEY], id="audit_1", at=5, actor="me", action="offpeak keys create")
    assert KEY.hash not in entry.details
    told = json.loads(entry.details)["ApiKey key_1"]
    assert not UNTOLD & set(told)
    assert entry.account_ids == ("acct_1",)


def test_an_entry_of_very_many_rows_counts_them() -> None:
    many = [Account(id=f"acct_{n}", name="n" * 60, created_at=1) for n in range(90)]
    entry = audited(many, id="audit_1", at=5, actor="a" * 999, action="offpeak accounts erase")
    assert json.loads(entry.details) == {"rows": 90}
    assert len(entry.details) <= DETAILS_CHARACTERS_MAX
    assert len(entry.actor) == 256
