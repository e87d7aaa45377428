"""`Changes` for those who administer: each commit carries its entry in the audit trail, all or nothing."""

from __future__ import annotations

from dataclasses import replace

from offpeak.core.audit import AuditEntry, audited
from offpeak.core.ids import AUDIT, new_id
from offpeak.core.ports import Add, Changes, Clock, Save


class AuditedChanges:
    """`actor` is who asks: an AWS identity's ARN, or an API key's id; `action` what for, without its arguments."""

    def __init__(self, changes: Changes, *, clock: Clock, actor: str, action: str) -> None:
        self._changes = changes
        self._clock = clock
        self._actor = actor
        self._action = action

    def commit(self, *changes: Add | Save) -> None:
        """Raises what the changes' own commit does, which then has written no entry either."""
        self._changes.commit(*changes, Add(self._entry(*changes)))

    def record(self, subject: str = "") -> None:
        """The entry of an action that changes no row; to be written before its effect."""
        entry = self._entry()
        self._changes.commit(Add(replace(entry, subjects=(subject,) if subject else ())))

    def _entry(self, *changes: Add | Save) -> AuditEntry:
        now = self._clock.now()
        return audited(
            [change.row for change in changes], id=new_id(AUDIT, now), at=int(now),
            actor=self._actor, action=self._action,
        )  # fmt: skip
