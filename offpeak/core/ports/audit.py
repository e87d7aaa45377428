"""The audit trail, read. Entries are written by `Changes.commit`, with what they are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from offpeak.core.audit import AuditEntry


class Audit(Protocol):
    def newest(self, limit: int, account_id: str | None = None) -> Sequence[AuditEntry]:
        """The newest entries, latest first: all, or those about one account."""
        ...
