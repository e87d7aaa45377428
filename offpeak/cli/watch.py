"""Following a batch until it ends: a bar on a terminal, a line per change elsewhere. Both on stderr."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)

from offpeak.cli import upload
from offpeak.cli.client import Api
from offpeak.cli.errors import Unreachable
from offpeak.cli.show import counts_text, say

TERMINAL = frozenset({"completed", "failed", "expired", "cancelled"})
POLL_SECONDS_MIN, POLL_SECONDS_MAX = 0.5, 10.0
SILENCE_SECONDS_MAX = 600.0


def watch_batch(api: Api, batch: Mapping[str, Any]) -> Mapping[str, Any]:
    """Polls until the batch ends and answers it as it ended. Outages up to ten minutes are waited out."""
    with _batch_view() as update:
        update(batch)
        for seconds in _poll_seconds():
            if batch["status"] in TERMINAL:
                break
            time.sleep(seconds)
            batch = _patient_get(api, batch["id"])
            update(batch)
    return batch


def _poll_seconds() -> Iterator[float]:
    """Short waits at first, a tenth of the time spent later on."""
    started = time.monotonic()
    while True:
        yield min(POLL_SECONDS_MAX, max(POLL_SECONDS_MIN, (time.monotonic() - started) / 10))


def _patient_get(api: Api, batch_id: str) -> Mapping[str, Any]:
    give_up_at = time.monotonic() + SILENCE_SECONDS_MAX
    while True:
        try:
            return api.get(f"/v1/batches/{batch_id}")
        except Unreachable:
            if time.monotonic() > give_up_at:
                raise
            time.sleep(POLL_SECONDS_MAX)


class _Lines:
    """Says what changed, for logs and pipes."""

    def __init__(self) -> None:
        self._last = ""

    def __call__(self, batch: Mapping[str, Any]) -> None:
        text = ", ".join(part for part in (batch["status"], counts_text(batch)) if part)
        if text != self._last:
            say(f"{batch['id']}: {text}")
        self._last = text


@contextmanager
def _batch_view() -> Iterator[Any]:
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description:<12}"),
        BarColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bar = progress.add_task("", total=None, counts="")

        def update(batch: Mapping[str, Any]) -> None:
            counts = batch["request_counts"]
            progress.update(
                bar,
                description=batch["status"],
                total=counts["total"] or None,
                completed=counts["completed"] + counts["failed"],
                counts=counts_text(batch),
            )

        yield update


@contextmanager
def upload_view(name: str, size: int) -> Iterator[upload.Progress]:
    """A bar for an upload's bytes; nothing when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _count: None
        return
    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"Uploading {name}", total=size)
        yield lambda count: progress.advance(bar, count)
