"""The audit trail: what operators, and keys that may administer, have changed. Entries are only ever added.

An entry is written in the transaction that makes the change, so that there is none without the other; what changes no
row (a queue that is emptied) is written before it is done. It holds what the changed fields were set to, and nothing
that opens anything: no key, no hash of one, no secret.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

DETAILS_CHARACTERS_MAX = 4_000
TEXT_CHARACTERS_MAX = 256
# Fields of rows that open something, or that are no news.
UNTOLD = frozenset({"hash", "secret", "version", "task_token", "earlier_tokens", "body"})


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """`actor` is who: an AWS identity's ARN, or an API key's id. `action` is what was asked for, as `offpeak keys
    revoke`; `subjects` are the ids of the rows that it changed, `account_ids` those of the accounts they belong to.
    `details` is JSON: the rows as they were left. `at` in seconds since the epoch."""

    id: str
    at: int
    actor: str
    action: str
    subjects: tuple[str, ...] = ()
    account_ids: tuple[str, ...] = ()
    details: str = "{}"
    version: int = 0


def audited(rows: Iterable[Any], *, id: str, at: int, actor: str, action: str) -> AuditEntry:
    """The entry about changes that leave these rows."""
    named = {f"{type(row).__name__} {row.id}": _told(row) for row in rows}
    accounts = dict.fromkeys(
        str(row.id if type(row).__name__ == "Account" else getattr(row, "account_id", ""))
        for row in rows
    )
    return AuditEntry(
        id=id,
        at=at,
        actor=actor[:TEXT_CHARACTERS_MAX],
        action=action[:TEXT_CHARACTERS_MAX],
        subjects=tuple(name.partition(" ")[2] for name in named),
        account_ids=tuple(filter(None, accounts)),
        details=_details(named),
    )


def _details(named: Mapping[str, Mapping[str, Any]]) -> str:
    text = json.dumps(named, sort_keys=True, default=str)
    return text if len(text) <= DETAILS_CHARACTERS_MAX else json.dumps({"rows": len(named)})


def _told(row: Any) -> dict[str, Any]:
    """A row's fields, and those of the values in it."""
    return {
        field.name: _told(value) if is_dataclass(value) else value
        for field in fields(row)
        if field.name not in UNTOLD and (value := getattr(row, field.name)) is not None
    }
