"""A page of an account's files: those that are there."""

from __future__ import annotations

from offpeak.core.file import File
from offpeak.core.ports import Clock, Files, Page
from offpeak.steps.find_file import is_there

PAGES_MAX = 20


def list_files(
    account_id: str,
    *,
    limit: int,
    after: str | None,
    purpose: str | None,
    ascending: bool,
    clock: Clock,
    files: Files,
) -> Page[File]:
    """Expired rows linger for days; they are passed over, so that a page is full while there is more to come."""
    now = clock.now()
    found: list[File] = []
    has_more = True
    for _ in range(PAGES_MAX):
        page = files.list(
            account_id,
            limit=limit - len(found),
            after=after,
            purpose=purpose,
            ascending=ascending,
        )
        found += [file for file in page.rows if is_there(file, now)]
        has_more = page.has_more
        if not has_more or len(found) >= limit:
            break
        after = page.rows[-1].id
    return Page(rows=tuple(found), has_more=has_more and bool(found))
