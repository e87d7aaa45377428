"""A small world for tests of single steps: a batch that is planned and released, and a worker on call."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import astuple
from random import Random
from typing import Any

from offpeak.core.account import Account
from offpeak.core.batch import Batch
from offpeak.core.catalogue import Catalogue
from offpeak.core.ports import Add, Save
from offpeak.core.run import Run
from offpeak.core.shard import Shard, ShardStatus
from offpeak.memory.memory import Memory
from offpeak.steps.assemble_results import assemble_results
from offpeak.steps.close_batch import close_batch
from offpeak.steps.complete_shard import complete_shard
from offpeak.steps.dispatch_shards import dispatch_shards
from offpeak.steps.finalize_batch import finalize_batch
from offpeak.steps.harvest_shards import harvest_shards
from offpeak.steps.plan_shards import plan_shards
from offpeak.steps.release_runs import release_runs
from offpeak.steps.sweep import Swept, sweep
from offpeak.steps.validate_range import validate_range
from offpeak.wire.invocation import encode_report
from offpeak.wire.notices import InvocationNotice, Outcome
from tests.steps.simulation import CATALOGUE, ENDPOINT, request
from tests.steps.small_worker import SmallWorker

ACCOUNT, BATCH, TOKEN, POOL = "acct_1", "batch_1", "token", "red-pool"


def call_step(world: Memory, step: Callable[..., Any], *args: Any) -> Any:
    """The step with the ports that it asks for."""
    parameters = inspect.signature(step).parameters.values()
    wanted = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and hasattr(world, p.name)]
    return step(*args, **{name: getattr(world, name) for name in wanted})


class Ward(Memory):
    """`lines` requests of one model, four a shard; the pool takes three shards at a time."""

    def __init__(self, lines: int = 12, *, window_seconds: int = 86_400) -> None:
        super().__init__()
        self.catalogue: Catalogue = CATALOGUE
        self.random = Random(0)
        self.worker = SmallWorker(vars(self), self.random)
        content = b"".join(request(f"c{n}") + b"\n" for n in range(lines))
        self.writer.put("files/acct_1/file-1", content)
        now = int(self.clock.now())
        batch = Batch(
            id=BATCH, account_id=ACCOUNT, input_file_id="file-1", input_key="files/acct_1/file-1",
            input_bytes=len(content), endpoint=ENDPOINT, completion_window="24h", created_at=now,
            expires_at=now + window_seconds,
        )  # fmt: skip
        self.changes.commit(Add(Account(id=ACCOUNT, name="a", created_at=0)), Add(batch))
        self.call(validate_range, ACCOUNT, BATCH, 0, 0, len(content))
        self.call(plan_shards, ACCOUNT, BATCH, 1)

    def call(self, step: Callable[..., Any], *args: Any) -> Any:
        return call_step(self, step, *args)

    @property
    def batch(self) -> Batch:
        return self.batches.get(ACCOUNT, BATCH)

    @property
    def run(self) -> Run:
        return self.runs.get(BATCH, 0)

    def shard(self, number: int = 0) -> Shard:
        return self.shards.get(BATCH, 0, number)

    def shard_is_open(self, number: int = 0) -> bool:
        """Before its first dispatch, too."""
        return self.run.cursor <= number or self.shard(number).is_open

    def release(self, token: str = TOKEN) -> None:
        self.call(release_runs, ACCOUNT, BATCH, token)

    def dispatch(self) -> list[bytes]:
        """The orders that left."""
        before = len(self.endpoints.invocations)
        self.call(dispatch_shards, POOL)
        return [invocation.order for invocation in self.endpoints.invocations[before:]]

    def work(self, order: bytes) -> InvocationNotice:
        """Has the order worked; the notice that SageMaker would send."""
        report = self.worker.work(order)
        key = f"work/invocations/{report.run}.{report.number}.{report.attempt}.out"
        self.writer.put(key, encode_report(report))
        return notice(report.number, report.attempt, report_key=key)

    def complete(self, notice: InvocationNotice) -> Shard | None:
        moved: Shard | None = self.call(complete_shard, notice)
        return moved

    def run_all(self) -> None:
        while orders := self.dispatch():
            for order in orders:
                self.complete(self.work(order))

    def end(self) -> Batch:
        """What the execution does once the token is answered."""
        assert TOKEN in self.workflows.answers
        for chunk in self.call(close_batch, ACCOUNT, BATCH):
            self.call(harvest_shards, ACCOUNT, BATCH, chunk.run, chunk.first, chunk.last)
        finalize(self, ACCOUNT, BATCH)
        return self.batch


def finalize(world: Memory, account_id: str, batch_id: str) -> int:
    """As the state machine does: until nothing is left to be assembled. How often chunks were to be."""
    rounds = 0
    while chunks := call_step(world, finalize_batch, account_id, batch_id).chunks:
        rounds += 1
        for chunk in chunks:
            place = astuple(chunk)
            call_step(world, assemble_results, account_id, batch_id, *place)
    return rounds


def notice(
    number: int = 0, attempt: int = 1, *, outcome: Outcome = "completed", report_key: str | None = None
) -> InvocationNotice:  # fmt: skip
    return InvocationNotice(
        batch_id=BATCH, run=0, number=number, attempt=attempt, outcome=outcome,
        report_key=report_key,
    )  # fmt: skip


def claim(ward: Ward, number: int) -> None:
    claimed = ward.shard(number).claimed(1, "w", int(ward.clock.now()) + 10_000)
    ward.changes.commit(Save(claimed))


def statuses(ward: Ward) -> list[ShardStatus]:
    return [shard.status for shard in ward.shards.of_run(BATCH, 0)]


def swept(ward: Ward) -> Swept:
    found: Swept = ward.call(sweep)
    return found
