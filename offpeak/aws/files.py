"""Files and uploads, an account's under its id. Ids sort by birth, so the table itself is the list.

The sparse index `expiring` holds the files that end by themselves: a step deletes them with their bytes. An upload has
no bytes of its own to delete (its parts go by the bucket's rule), so DynamoDB drops its row two days after its hour.
"""

from __future__ import annotations

from collections.abc import Iterator

from offpeak.aws.items import Item, from_item, to_item
from offpeak.aws.pages import page_of
from offpeak.aws.table import Table
from offpeak.core.errors import NotFound
from offpeak.core.file import File, Upload
from offpeak.core.ids import FILE, UPLOAD
from offpeak.core.ports import Page

GRACE_SECONDS = 2 * 86_400


def file_to_item(file: File) -> Item:
    return to_item(file, expiring=None if file.expires_at is None else "expiring")


def file_from_item(item: Item) -> File:
    return from_item(item, File)


def upload_to_item(upload: Upload) -> Item:
    return to_item(upload, ttl=upload.expires_at + GRACE_SECONDS)


def upload_from_item(item: Item) -> Upload:
    return from_item(item, Upload)


class DynamoFiles:
    def __init__(self, table: Table) -> None:
        self._table = table

    def get(self, account_id: str, file_id: str) -> File:
        return file_from_item(_row(self._table, "file", FILE, account_id, file_id))

    def list(
        self,
        account_id: str,
        *,
        limit: int,
        after: str | None,
        purpose: str | None,
        ascending: bool,
    ) -> Page[File]:
        found = page_of(
            self._table, account_id, FILE, limit=limit, after=after, purpose=purpose,
            ascending=ascending,
        )  # fmt: skip
        return Page(rows=tuple(map(file_from_item, found.rows)), has_more=found.has_more)

    def expired(self, now: int) -> Iterator[File]:
        condition = "#expiring = :expiring AND #expires_at <= :now"
        values: dict[str, str | int] = {":expiring": "expiring", ":now": now}
        for item in self._table.query(condition, values, index="expiring"):
            yield file_from_item(item)

    def upload(self, account_id: str, upload_id: str) -> Upload:
        return upload_from_item(_row(self._table, "upload", UPLOAD, account_id, upload_id))


def _row(table: Table, kind: str, prefix: str, account_id: str, row_id: str) -> Item:
    """Both kinds share the table; an id tells by its prefix which it is."""
    if not row_id.startswith(prefix):
        raise NotFound(f"There is no {kind} {row_id}.")
    return table.get(f"{kind} {row_id}", account_id=account_id, id=row_id)
