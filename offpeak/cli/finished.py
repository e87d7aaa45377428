"""The finished lines of a batch that runs, page by page, and whatever comes after them while one waits."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

from offpeak.cli.client import Api

POLL_SECONDS = 5.0
POLL_SECONDS_MAX = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FinishedPage:
    """`after` is where the next page begins; `incomplete` that the batch goes on."""

    lines: bytes
    after: str
    has_more: bool
    incomplete: bool


def finished_pages(
    api: Api, batch_id: str, kind: str, after: str | None, *, follow: bool
) -> Iterator[FinishedPage]:
    """Pages until there is nothing more now; with `follow`, until the batch has ended."""
    pause = POLL_SECONDS
    while True:
        page = _page(api, batch_id, kind, after)
        yield page
        after = page.after
        if page.has_more:
            continue
        if not follow or not page.incomplete:
            return
        pause = POLL_SECONDS if page.lines else min(2 * pause, POLL_SECONDS_MAX)
        time.sleep(pause)


def _page(api: Api, batch_id: str, kind: str, after: str | None) -> FinishedPage:
    params = {"kind": kind, **({"after": after} if after else {})}
    answer = api.read(f"/v1/batches/{batch_id}/results", params)
    return FinishedPage(
        lines=answer.content,
        after=answer.headers["x-after"],
        has_more=answer.headers["x-has-more"] == "true",
        incomplete=answer.headers["x-incomplete"] == "true",
    )
