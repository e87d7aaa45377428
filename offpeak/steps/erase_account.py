"""Deletes what an account has sent and been answered: now, and not when it would expire.

Its keys are revoked first, so that nothing new comes; batches that run must have ended, for they would write again.
Then go its files, rows and bytes; all that was kept of its batches; and everything under its own prefixes, its part of
the drop folder included. What is left holds no prompt: rows of ids, counts and money, which its bills are made of. One
thing is left to the bucket's rule, 14 days: stand-alone requests lie in objects that hold other accounts', too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from offpeak.core.drop import DROP_PREFIX
from offpeak.core.errors import StateConflict
from offpeak.core.file import File
from offpeak.core.layout import (
    batch_errors_key,
    file_key,
    group_prefix,
    part_key,
    request_prefix,
    results_prefix,
    work_prefix,
)
from offpeak.core.ports import (
    Accounts,
    Batches,
    Changes,
    Clock,
    Files,
    Multipart,
    Reader,
    Save,
    Webhooks,
    Writer,
)
from offpeak.steps.revoke_key import revoke_key

PAGE_ROWS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Erased:
    """How many of each are gone."""

    keys: int
    files: int
    webhooks: int
    objects: int


def erase_account(
    account_id: str, *, clock: Clock, reader: Reader, writer: Writer, multipart: Multipart,
    changes: Changes, accounts: Accounts, files: Files, batches: Batches, webhooks: Webhooks,
) -> Erased:  # fmt: skip
    """May be called again, and then finishes what a call before has left.

    Raises NotFound, and StateConflict (code `account_busy`) while batches of it have not ended.
    """
    accounts.get(account_id)
    keys = [key for key in accounts.keys(account_id) if key.revoked_at is None]
    for key in keys:
        revoke_key(key.id, clock=clock, accounts=accounts, changes=changes)
    if open_batches := batches.open_count(account_id):
        raise StateConflict(
            f"{open_batches:,} batches of {account_id} have not ended. Its keys are revoked; erase it again when they "
            "have.",
            code="account_busy",
        )
    deleted = _delete_files(account_id, multipart, changes, files)
    hooks = webhooks.of_account(account_id)
    for hook in hooks:
        changes.commit(Save(hook.deleted()))
    objects = 0
    for prefix in _prefixes(account_id, batches):
        for info in reader.list(prefix):
            writer.delete(info.key)
            objects += 1
    return Erased(keys=len(keys), files=deleted, webhooks=len(hooks), objects=objects)


def _delete_files(account_id: str, multipart: Multipart, changes: Changes, files: Files) -> int:
    """Their rows; the bytes lie under the prefixes."""
    deleted = 0
    while rows := _first_files(account_id, files):
        for file in rows:
            if file.multipart_id is not None:
                multipart.abort(file.key, file.multipart_id)
            changes.commit(Save(file.deleted()))
        deleted += len(rows)
    return deleted


def _first_files(account_id: str, files: Files) -> Sequence[File]:
    return files.list(
        account_id, limit=PAGE_ROWS, after=None, purpose=None, ascending=True
    ).rows  # fmt: skip


def _prefixes(account_id: str, batches: Batches) -> Iterator[str]:
    """All of them built from ids of ours."""
    yield file_key(account_id, "")
    yield part_key(account_id, "", "").removesuffix("/")
    yield request_prefix(account_id)
    yield group_prefix(account_id)
    yield f"{DROP_PREFIX}{account_id}/"
    after: str | None = None
    while True:
        page = batches.list(account_id, limit=PAGE_ROWS, after=after)
        for batch in page.rows:
            yield results_prefix(batch.id)
            yield work_prefix(batch.id)
            yield batch_errors_key(batch.id)
        if not page.has_more:
            return
        after = page.rows[-1].id
