"""Every row that was ever written, so that what a world may never do is seen though it was undone later."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Set
from typing import Any

from offpeak.core.batch import TERMINAL, Batch, BatchStatus
from offpeak.core.delivery import Delivery, DeliveryStatus
from offpeak.core.enqueued import Enqueued
from offpeak.core.file import File, FileStatus, Upload, UploadStatus
from offpeak.core.gathering import Gathering, GatheringStatus
from offpeak.core.group import Group, GroupStatus
from offpeak.core.ledger import Balance, Entry
from offpeak.core.ports import Add, Moved, ObjectInfo, Row, Save, Verdict
from offpeak.core.request import ENDED, Request, RequestStatus
from offpeak.core.run import Run, RunStatus
from offpeak.core.shard import Shard, ShardStatus
from offpeak.memory.memory import Memory
from offpeak.wire.checkpoints import decode_records

B, R, S, Q, G = BatchStatus, RunStatus, ShardStatus, RequestStatus, GroupStatus
D, U, C, F = DeliveryStatus, UploadStatus, GatheringStatus, FileStatus
LEGAL: Mapping[type[object], Mapping[Any, Set[Any]]] = {
    Batch: {
        B.VALIDATING: {B.FAILED, B.IN_PROGRESS, B.CANCELLING},
        B.IN_PROGRESS: {B.FINALIZING, B.CANCELLING},
        B.FINALIZING: {B.COMPLETED, B.EXPIRED},
        B.CANCELLING: {B.CANCELLED},
    },
    Run: {R.HELD: {R.READY, R.CLOSING}, R.READY: {R.CLOSING}},
    Shard: {
        S.WAITING: {S.DISPATCHED, S.DONE, S.CLOSED},
        S.DISPATCHED: {S.CLAIMED, S.WAITING, S.CLOSED},
        S.CLAIMED: {S.DONE, S.WAITING, S.CLOSED},
        S.CLOSED: {S.DONE},
    },
    File: {F.PENDING: {F.PROCESSED, F.DELETED}, F.PROCESSED: {F.DELETED}},
    Gathering: {C.OPEN: {C.SEALED}},
    Request: {Q.REGISTERED: ENDED},
    Group: {G.REGISTERED: {G.CANCELLING, G.COMPLETED}, G.CANCELLING: {G.CANCELLED}},
    Delivery: {
        D.WAITING: {D.SENDING, D.FAILED},
        D.SENDING: {D.WAITING, D.DELIVERED, D.FAILED},
    },
    Upload: {U.PENDING: {U.COMPLETED, U.CANCELLED}},
}
"""What may come after a status, by the drawings in `core`."""


class History:
    """Listens to the memory's changes. `wrongs` are the moves that no history may have."""

    def __init__(self, memory: Memory, tokens_max: int) -> None:
        self._tokens_max = tokens_max
        self._commit = memory.changes.commit
        self._put = memory.writer.put
        self._update = memory.requests._update
        self._clock = memory.clock
        self._last: dict[tuple[type[object], str, str], Row] = {}
        self._posted: dict[str, int] = defaultdict(int)
        self.wrongs: list[str] = []
        self.log: list[tuple[str, str, str]] = []
        self.checkpointed: dict[str, dict[int, float]] = defaultdict(dict)
        """By batch, when each line was first flushed."""
        self.held: dict[str, int] = {}
        """By batch, what its planning set aside, in micro-dollars."""
        memory.changes.commit = self._committed  # type: ignore[method-assign]
        memory.writer.put = self._written  # type: ignore[method-assign]
        memory.requests._update = self._moved  # type: ignore[method-assign]

    def _written(
        self, key: str, body: bytes, content_type: str = "application/jsonl"
    ) -> ObjectInfo:
        if "/checkpoints/" in key:
            batch_id = key.removeprefix("work/").partition("/")[0]
            for line in decode_records([body]):
                if b'"engine_error"' in line.result:
                    continue  # the worker's own word that it is to blame
                self.checkpointed[batch_id].setdefault(line.number, self._clock.now())
        return self._put(key, body, content_type)

    def _committed(self, *changes: Add | Save) -> None:
        self._commit(*changes)
        for change in changes:
            self._note(change.row)
        for change in changes:
            if isinstance(change.row, Balance):
                self._reckon(change.row)
            if isinstance(change.row, Enqueued):
                self._count(change.row)

    def _moved(self, request_id: str, judge: Callable[[Request], Any]) -> Moved:
        moved = self._update(request_id, judge)
        if moved.verdict is Verdict.CHANGED and moved.request is not None:
            self._note(moved.request)
        return moved

    def _note(self, row: Row) -> None:
        key = type(row), getattr(row, "account_id", ""), row.id
        before = self._last.get(key)
        self._last[key] = row
        self.log.append((type(row).__name__, row.id, str(getattr(row, "status", ""))))
        if isinstance(row, Entry) and before is None:
            self._posted[row.account_id] += row.microdollars
        if isinstance(row, Batch) and row.held_microdollars:
            self.held[row.id] = row.held_microdollars
        if before is not None and (wrong := _wrong(before, row)):
            self.wrongs.append(f"{type(row).__name__} {row.id}: {wrong}")

    def _reckon(self, balance: Balance) -> None:
        """At every moment, not in the end alone."""
        if balance.microdollars != self._posted[balance.account_id]:
            posted = self._posted[balance.account_id]
            self.wrongs.append(f"{balance} when the entries of {balance.account_id} were {posted}")

    def _count(self, enqueued: Enqueued) -> None:
        """What is enqueued is what the planned batches hold at this moment, and within the limit."""
        held: Counter[str] = Counter()
        for row in self._last.values():
            if (
                isinstance(row, Batch)
                and (row.account_id, row.holds_enqueued) == (enqueued.account_id, True)
                and row.status not in TERMINAL
            ):
                held.update(row.enqueued_tokens)
        if enqueued.tokens != held or max(held.values(), default=0) > self._tokens_max:
            self.wrongs.append(f"{enqueued} when its batches held {dict(held)}")


def _wrong(before: Row, row: Row) -> str | None:
    was, now = getattr(before, "status", None), getattr(row, "status", None)
    if was is not now and now not in LEGAL.get(type(row), {}).get(was, ()):
        return f"{was} became {now}"
    wrongs = {
        "was written after it had ended": isinstance(before, Batch) and before.status in TERMINAL,
        "was written twice": isinstance(before, Entry),
        "an older attempt came back": _attempt(before) > _attempt(row),
        "changed after it was done": _settled(before) not in (None, _settled(row)),
        "its cursor jumped": isinstance(before, Run)
        and isinstance(row, Run)
        and row.cursor not in (before.cursor, before.cursor + 1),
        "has more open shards than it has shards": isinstance(row, Run)
        and not 0 <= row.open <= row.cursor,
        "lost members": isinstance(before, Group)
        and isinstance(row, Group)
        and before.calls != row.calls[: len(before.calls)],
    }
    return next((wrong for wrong, is_so in wrongs.items() if is_so), None)


def _attempt(row: Row) -> int:
    return row.attempt if isinstance(row, Shard | Delivery) else 0


def _settled(row: Row) -> object:
    """What never changes once it is there."""
    match row:
        case Shard() if row.status is ShardStatus.DONE:
            return row.output, row.errors, row.counts, row.usage
        case Request() if row.has_ended:
            return row.status, row.result, row.error_code
        case Upload():
            return row.file_id
        case _:
            return None
