"""An account's drop folder over the ports in memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from offpeak.core.account import Account, Limits
from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.errors import NotFound
from offpeak.core.layout import error_key, output_key
from offpeak.core.ports import Add, Save
from offpeak.core.usage import Counts
from offpeak.memory.memory import Memory
from offpeak.steps.deliver_drop import deliver_drop
from offpeak.steps.ingest_drop import Ingested, ingest_drop
from tests.steps.simulation import CATALOGUE, request
from tests.steps.ward import call_step

KEY = "drop/acct_1/a.jsonl"


LINES = b"".join(request(f"c{n}") + b"\n" for n in range(6))


class DropFolder(Memory):
    """An account's folder, and the events that come of what is put there."""

    def call(self, step: Callable[..., Any], *args: Any) -> Any:
        return call_step(self, step, *args)

    def __init__(self, **limits: int) -> None:
        super().__init__()
        self.catalogue = CATALOGUE
        account = Account(id="acct_1", name="a", created_at=0, limits=Limits(**limits))
        self.changes.commit(Add(account))

    def drop(
        self, body: bytes = LINES, key: str = KEY, metadata: Mapping[str, str] | None = None
    ) -> Ingested:
        self.writer.put_with(key, body, metadata or {})
        return self.event(key)

    def event(self, key: str = KEY) -> Ingested:
        ingested: Ingested = self.call(ingest_drop, key)
        return ingested

    @property
    def found(self) -> list[Batch]:
        return list(self.batches.list("acct_1", limit=100, after=None).rows)

    @property
    def batch(self) -> Batch:
        [batch] = self.found
        return batch

    def status(self, stem: str = "drop/acct_1/a") -> Mapping[str, Any]:
        status: Mapping[str, Any] = json.loads(self.reader.read(stem + ".status.json"))
        return status

    def complete(self, batch: Batch, output: bytes = b"1\n", errors: bytes | None = None) -> None:
        """As process_batch would, up to the delivery."""
        self.writer.put(output_key(batch.id), output)
        if errors is not None:
            self.writer.put(error_key(batch.id), errors)
        now = int(self.clock.now())
        planned = batch.planned(model="red", total=6, invalid_lines=0, now=now)
        ended = planned.finalizing(now).ended(
            BatchStatus.COMPLETED, counts=Counts(total=6, completed=6), usage=None,
            output_file_id="file-out", error_file_id="file-err" if errors else None, now=now,
        )  # fmt: skip
        self.changes.commit(Save(ended))

    def deliver(self, batch: Batch) -> bool:
        delivered: bool = self.call(deliver_drop, "acct_1", batch.id)
        return delivered

    def is_there(self, key: str) -> bool:
        try:
            self.reader.head(key)
        except NotFound:
            return False
        return True
