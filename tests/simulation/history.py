"""Every row that was ever written, so that what a world may never do is seen though it was undone later."""

from __future__ import annotations

from collections import defaultdict

from offpeak.core.batch import TERMINAL, Batch, BatchStatus
from offpeak.core.ports import Add, ObjectInfo, Row, Save
from offpeak.core.request import Request
from offpeak.core.shard import Shard, ShardStatus
from offpeak.memory.memory import Memory
from offpeak.wire.checkpoints import decode_records

S = BatchStatus
LEGAL = {
    S.VALIDATING: {S.FAILED, S.IN_PROGRESS, S.CANCELLING},
    S.IN_PROGRESS: {S.FINALIZING, S.CANCELLING},
    S.FINALIZING: {S.COMPLETED, S.EXPIRED},
    S.CANCELLING: {S.CANCELLED},
}


class History:
    """Listens to the memory's changes. `wrongs` are the moves that no history may have."""

    def __init__(self, memory: Memory) -> None:
        self._commit = memory.changes.commit
        self._last: dict[tuple[type[object], str], Row] = {}
        self.wrongs: list[str] = []
        self.log: list[tuple[str, str, str]] = []
        self.checkpointed: dict[str, dict[int, float]] = defaultdict(dict)
        """By batch, when each line was first flushed."""
        memory.changes.commit = self._committed  # type: ignore[method-assign]
        self._put = memory.writer.put
        self._clock = memory.clock
        memory.writer.put = self._written  # type: ignore[method-assign]

    def _written(
        self, key: str, body: bytes, content_type: str = "application/jsonl"
    ) -> ObjectInfo:
        if "/checkpoints/" in key:
            batch_id = key.removeprefix("work/").partition("/")[0]
            for line in decode_records([body]):
                self.checkpointed[batch_id].setdefault(line.number, self._clock.now())
        return self._put(key, body, content_type)

    def _committed(self, *changes: Add | Save) -> None:
        self._commit(*changes)
        for change in changes:
            row = change.row
            before = self._last.get((type(row), row.id))
            self._last[type(row), row.id] = row
            self.log.append((type(row).__name__, row.id, str(getattr(row, "status", ""))))
            if before is not None and (wrong := _wrong(before, row)):
                self.wrongs.append(f"{type(row).__name__} {row.id}: {wrong}")


def _wrong(before: Row, row: Row) -> str | None:
    match before, row:
        case Batch(), Batch():
            if before.status is not row.status and row.status not in LEGAL.get(before.status, ()):
                return f"{before.status} became {row.status}"
            if before.status in TERMINAL:
                return f"was written after it was {before.status}"
        case Shard(), Shard():
            if before.attempt > row.attempt:
                return "an older attempt came back"
            done = ShardStatus.DONE
            if before.status is done and (row.status is not done or row.output != before.output):
                return "changed after it was done"
        case Request(), Request():
            if before.has_ended and (before.status, before.result) != (row.status, row.result):
                return "ended twice"
        case _:
            pass
    return None
