"""The audit trail: entries are added with what they are about, and read latest first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from offpeak.core.audit import AuditEntry
from offpeak.core.errors import StateConflict
from offpeak.core.ids import AUDIT
from offpeak.core.ports import Add, Save
from offpeak.steps.audited_changes import AuditedChanges
from tests.contract import rows
from tests.contract.worlds import Ports

ARN = "arn:aws:sts::123456789012:assumed-role/operators/ada"


def _audited(ports: Ports) -> AuditedChanges:
    return AuditedChanges(ports.changes, clock=ports.clock, actor=ARN, action="offpeak keys create")


def test_a_change_and_its_entry_are_there_together(ports: Ports) -> None:
    account = rows.account()
    key = rows.api_key(account.id)
    _audited(ports).commit(Add(account), Add(key))
    [entry] = ports.audit.newest(10, account.id)
    assert (entry.actor, entry.action) == (ARN, "offpeak keys create")
    assert entry.subjects == (account.id, key.id)
    assert entry.account_ids == (account.id,)
    assert entry.at > 0
    assert key.hash not in entry.details
    assert key.last4 in entry.details


def test_what_was_not_done_was_not_audited(ports: Ports) -> None:
    account = rows.account()
    ports.changes.commit(Add(account))
    with pytest.raises(StateConflict):
        _audited(ports).commit(Save(replace(account, version=7, name="other")))
    assert ports.audit.newest(10, account.id) == []


def test_the_newest_come_first_and_no_more_than_asked_for(ports: Ports) -> None:
    account = rows.account()
    entries = [
        AuditEntry(
            id=rows.fresh(AUDIT), at=rows.NOW, actor=ARN, action=action, account_ids=(account.id,)
        )
        for action in ("first", "second", "third")
    ]
    for entry in entries:
        ports.changes.commit(Add(entry))
    found = ports.audit.newest(2, account.id)
    assert [entry.action for entry in found] == ["third", "second"]
    assert ports.audit.newest(1)[0].id >= entries[-1].id


def test_an_entry_is_written_once(ports: Ports) -> None:
    entry = AuditEntry(id=rows.fresh(AUDIT), at=rows.NOW, actor=ARN, action="offpeak keys create")
    ports.changes.commit(Add(entry))
    with pytest.raises(StateConflict):
        ports.changes.commit(Add(replace(entry, actor="somebody else")))


def test_an_action_without_a_row_is_told_by_its_subject(ports: Ports) -> None:
    subject = rows.fresh("queue-")
    _audited(ports).record(subject)
    assert [entry.subjects for entry in ports.audit.newest(100)].count((subject,)) == 1
