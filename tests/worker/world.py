"""A world for the worker's tests: a batch's file in a bucket, its run and shard as rows, and what came of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from offpeak.core.invocation import ShardOrder, ShardReport
from offpeak.core.layout import shard_prefix
from offpeak.core.ports import Add, Save
from offpeak.core.run import CloseReason, Run
from offpeak.core.shard import Segment, Shard, ShardStatus
from offpeak.memory.memory import Memory
from offpeak.worker.engine import Engine
from offpeak.worker.instance import Instance
from offpeak.worker.ports import WorkerPorts
from offpeak.worker.settings import WorkerSettings

BATCH, ACCOUNT, MODEL = "batch_0193", "acct_1", "tiny"
CHAT = "/v1/chat/completions"
QUICK = WorkerSettings(
    lease_seconds=30, renew_seconds=5, poll_seconds=0.02, checkpoint_seconds=5,
    shard_seconds_max=20, drain_seconds=5, line_seconds_max=10, retry_seconds=0.001,
)  # fmt: skip


def chat(text: str, **fields: Any) -> dict[str, Any]:
    return {"model": MODEL, "messages": [{"role": "user", "content": text}], **fields}


@dataclass(frozen=True)
class World:
    """One run with one shard that holds all lines of the batch's file. `memory` may be any set of ports."""

    memory: Any
    order: ShardOrder
    texts: tuple[str, ...] = ()

    @classmethod
    def of(cls, *texts: str, memory: Any = None, number: int = 0) -> World:
        """A shard of chat requests."""
        world = cls.of_bodies(*map(chat, texts), memory=memory, number=number)
        return replace(world, texts=texts)

    @classmethod
    def of_bodies(
        cls, *bodies: Mapping[str, Any], endpoint: str = CHAT, memory: Any = None,
        batch_id: str = BATCH, number: int = 0, owners: Sequence[str] = (),
    ) -> World:  # fmt: skip
        """`owners` are the accounts that the lines name as theirs, where they name any."""
        memory = memory or Memory()
        key = f"files/{ACCOUNT}/{batch_id}-{number}"
        lines: list[dict[str, Any]] = [
            {"custom_id": f"line-{line}", "method": "POST", "url": endpoint, "body": body}
            for line, body in enumerate(bodies, 1)
        ]
        for line, owner in zip(lines, owners, strict=False):
            line["account_id"] = owner
        content = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
        memory.writer.put(key, content)
        segment = Segment(key=key, start=0, stop=len(content), first_line=1, lines=len(lines))
        order = ShardOrder(
            batch_id=batch_id, account_id=ACCOUNT, run=0, number=number, attempt=1, model=MODEL,
            endpoint=endpoint, segments=(segment,), work_prefix=shard_prefix(batch_id, 0, number),
        )  # fmt: skip
        shard = Shard(
            batch_id=batch_id, account_id=ACCOUNT, run=0, number=number, pool="pool",
            manifest_start=0, manifest_stop=1, first_line=1, last_line=len(lines),
            lines=len(lines), status=ShardStatus.DISPATCHED, attempt=1, due_at=0,
        )  # fmt: skip
        memory.changes.commit(Add(shard))
        if number == 0:
            memory.changes.commit(Add(_run(batch_id, endpoint, len(lines))))
        return cls(memory, order)

    @property
    def shard(self) -> Shard:
        found: Shard = self.memory.shards.get(self.order.batch_id, 0, self.order.number)
        return found

    def ports(self, **others: Any) -> WorkerPorts:
        memory = self.memory
        ports = WorkerPorts(
            clock=memory.clock, reader=memory.reader, writer=memory.writer,
            changes=memory.changes, runs=memory.runs, shards=memory.shards,
        )  # fmt: skip
        return replace(ports, **others)

    def instance(
        self, engine: Engine, settings: WorkerSettings = QUICK, ports: WorkerPorts | None = None
    ) -> Instance:
        return Instance(
            model=MODEL,
            name="worker",
            load=lambda: engine,
            settings=settings,
            ports=ports or self.ports(),
        )

    def dispatch_again(self) -> World:
        """As the dispatcher does after a lost or unfinished attempt."""
        if self.shard.status is not ShardStatus.WAITING:
            self.memory.changes.commit(Save(self.shard.waiting(retry_at=0, failed=True)))
        self.memory.changes.commit(Save(self.shard.redispatched(claim_until=0)))
        return replace(self, order=replace(self.order, attempt=self.shard.attempt))

    def close_run(self) -> None:
        run = self.memory.runs.get(self.order.batch_id, 0)
        self.memory.changes.commit(Save(run.closing(CloseReason.CANCELLED, close_by=0)))

    def keys(self) -> list[str]:
        return [info.key for info in self.memory.reader.list(self.order.work_prefix)]

    def checkpointed(self) -> list[int]:
        """The line numbers of all checkpoint records, in the order of their keys."""
        keys = [key for key in self.keys() if "/checkpoints/" in key]
        bodies = (self.memory.reader.read(key) for key in keys)
        return [json.loads(record)[0] for body in bodies for record in body.splitlines()]

    def results(self, report: ShardReport) -> tuple[list[Mapping[str, Any]], ...]:
        """The lines of the report's output and error objects."""
        objects = (report.output, report.errors)
        return tuple(
            [json.loads(line) for line in self.memory.reader.read(each.key).splitlines()]
            if each
            else []
            for each in objects
        )


def _run(batch_id: str, endpoint: str, lines: int) -> Run:
    return Run(
        batch_id=batch_id, account_id=ACCOUNT, number=0, model=MODEL, pool="pool",
        endpoint=endpoint, manifest_key="work/m", manifest_bytes=1, shards=1, lines=lines,
        deadline=2**31, created_at=0,
    ).released()  # fmt: skip
