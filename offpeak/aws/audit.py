"""The audit trail in a table of its own. All entries lie under one key, in the order of their births: operators act by
the minute, not by the second. Nothing in the product saves one or deletes one."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from offpeak.aws.items import Item, from_item, to_item
from offpeak.aws.table import Table
from offpeak.core.audit import AuditEntry

TRAIL = "trail"


def audit_entry_to_item(entry: AuditEntry) -> Item:
    return to_item(entry, trail=TRAIL)


def audit_entry_from_item(item: Item) -> AuditEntry:
    return from_item(item, AuditEntry)


class DynamoAudit:
    def __init__(self, table: Table) -> None:
        self._table = table

    def newest(self, limit: int, account_id: str | None = None) -> Sequence[AuditEntry]:
        found = map(
            audit_entry_from_item,
            self._table.query("#trail = :trail", {":trail": TRAIL}, ascending=False),
        )
        wanted = (each for each in found if account_id is None or account_id in each.account_ids)
        return list(islice(wanted, limit))
