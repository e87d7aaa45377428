"""The audit trail, in memory."""

from __future__ import annotations

from collections.abc import Sequence

from offpeak.core.audit import AuditEntry
from offpeak.memory.rows import Tables


class MemoryAudit:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def newest(self, limit: int, account_id: str | None = None) -> Sequence[AuditEntry]:
        found = self._tables.select(
            AuditEntry, lambda entry: account_id is None or account_id in entry.account_ids
        )
        return found[::-1][:limit]
