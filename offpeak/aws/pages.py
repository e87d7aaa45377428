"""One page of an account's rows, or a destination's, in the order of their ids, which is that of their birth."""

from __future__ import annotations

from collections.abc import Iterator

from offpeak.aws.items import Item
from offpeak.aws.table import Table
from offpeak.core.ports import Page

FILTERED_PAGE_ROWS = 500
"""Rows read at once where most may be filtered out: about 200 kB."""
ID_CHARACTERS_MAX = 256


def page_of(
    table: Table,
    owner_id: str,
    prefix: str,
    *,
    limit: int,
    after: str | None,
    ascending: bool,
    purpose: str | None = None,
    owner: str = "account_id",
) -> Page[Item]:
    """At most `limit` rows whose ids begin with `prefix` and come after `after`, whether that row still is or not."""
    first, last = prefix, prefix[:-1] + chr(ord(prefix[-1]) + 1)
    if after is not None:
        edge = after[:ID_CHARACTERS_MAX].encode(errors="surrogatepass").decode(errors="replace")
        first, last = (max(first, edge), last) if ascending else (first, min(last, edge))
    if first > last:
        return Page(rows=(), has_more=False)
    values: dict[str, str | int] = {":owner": owner_id, ":first": first, ":last": last}
    if purpose is not None:
        values[":purpose"] = purpose
    found = table.query(
        f"#{owner} = :owner AND #id BETWEEN :first AND :last",
        values,
        having=None if purpose is None else "#purpose = :purpose",
        ascending=ascending,
        page_rows=limit + 2 if purpose is None else FILTERED_PAGE_ROWS,
    )
    return _first_rows(found, limit, after)


def _first_rows(found: Iterator[Item], limit: int, after: str | None) -> Page[Item]:
    """BETWEEN counts its bounds in, `after` itself is out."""
    rows: list[Item] = []
    for row in found:
        if row["id"].get("S") == after:
            continue
        if len(rows) == limit:
            return Page(rows=tuple(rows), has_more=True)
        rows.append(row)
    return Page(rows=tuple(rows), has_more=False)
