"""Whole batches through the real steps, in memory, with every interleaving and fault chosen by a seed.

Each step, worker and execution runs on a thread of its own; one of them runs at a time, and at every port call the seed
chooses who goes on, who dies there, and which call fails before or after its effect. Around them stand what AWS does:
queues that deliver twice, an endpoint that loses invocations, notices that never come, a state machine that retries,
indexes that lag behind.
"""

from __future__ import annotations

import inspect
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import astuple
from functools import partial
from itertools import count
from typing import Any

from offpeak.core.account import Account
from offpeak.core.batch import TASK_TOKENS_MAX, Batch
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.errors import OffpeakError, StateConflict
from offpeak.core.ports import Add
from offpeak.core.pricing import Prices
from offpeak.core.shard import ShardStatus
from offpeak.planner.byte_ranges import workflow_input
from offpeak.planner.cut_results import AssemblyLimits
from offpeak.steps.announce_batch import announce_batch
from offpeak.steps.assemble_results import assemble_results
from offpeak.steps.cancel_batch import cancel_batch
from offpeak.steps.close_batch import close_batch
from offpeak.steps.complete_shard import complete_shard
from offpeak.steps.deliver_drop import deliver_drop
from offpeak.steps.dispatch_shards import dispatch_shards
from offpeak.steps.fail_batch import fail_batch
from offpeak.steps.finalize_batch import finalize_batch
from offpeak.steps.harvest_shards import harvest_shards
from offpeak.steps.ingest_drop import ingest_drop
from offpeak.steps.plan_shards import ChunkPlace, plan_shards
from offpeak.steps.release_runs import release_runs
from offpeak.steps.reorder_shards import reorder_shards
from offpeak.steps.show_drops import show_drops
from offpeak.steps.sweep import sweep
from offpeak.steps.validate_range import validate_range
from offpeak.wire.invocation import decode_order, encode_report
from offpeak.wire.notices import InvocationNotice
from tests.steps.interleaving import CALM, Faults, Interleaving, Task
from tests.steps.small_worker import SmallWorker

ENDPOINT = "/v1/completions"
RECEIVES_MAX = 5
TICKS_MAX = 60_000
PRICES = {
    "red": Prices(
        input=130_000, output=400_000, cached_input_write=130_000, cached_input_read=30_001
    ),
    "blue": Prices(
        input=100_000,
        output=150_000,
        cached_input_write=100_000,
        cached_input_read=20_001,
        basis="batch",
    ),
}
CATALOGUE = Catalogue(
    tuple(
        Model(
            id=name, pool=f"{name}-pool", source="s", endpoints=(ENDPOINT,), context_tokens=100,
            shard_lines_max=4, instances_max=1, concurrency=3, attempts_max=3,
            claim_seconds_max=300, prices=PRICES[name],
        )
        for name in ("red", "blue")
    )
)  # fmt: skip


IN_CHUNKS = AssemblyLimits(
    call_bytes_max=2_000, call_pieces_max=4, chunk_bytes=1_500, chunk_pieces=2, streams_max=3,
    index_bytes=300, part_bytes=400, part_bytes_min=200, pieces_at_once=1,
)  # fmt: skip
"""So that the results of a few lines are put together in chunks, as those of millions are."""


class Simulation(Interleaving):
    """With `in_chunks`, results are put together in the way that large ones are. With `reorders`, lines are reordered
    across shards wherever prompts begin alike, whatever that gains."""

    def __init__(
        self, seed: int, faults: Faults, *, in_chunks: bool = False, reorders: bool = False
    ) -> None:
        super().__init__(seed, faults)
        self.ports["catalogue"] = CATALOGUE
        self.ports["gain_min"] = -1.0 if reorders else 2.0
        if in_chunks:
            self.ports["assembly_limits"] = IN_CHUNKS
            self.memory.multipart.part_bytes_min = IN_CHUNKS.part_bytes_min
        self.worker = SmallWorker(
            self.ports, self.random, lambda: self.happens(self.faults.lost / 4)
        )
        self._asks_seen = 0
        self._invocations_seen = 0
        self._reports = 0
        self._tokens = 0
        self._executions: set[str] = set()
        self._pool_busy: dict[str, Task] = {}
        self._pool_asks: dict[str, int] = defaultdict(int)
        self._last_sweep = 0.0
        self.memory.changes.commit(Add(Account(id="acct_1", name="a", created_at=0)))

    # ── the world's clockwork ────────────────────────────────────────────────────────────────────────────────────────

    def run(self, done: Callable[[], bool]) -> None:
        """Until `done`. Faults end half way, so that a batch which never ends is our fault."""
        for tick in range(TICKS_MAX):
            if done():
                return
            if tick == TICKS_MAX // 3:
                self.faults = CALM
            self._deliver()
            able = [task for task in self.tasks if task.is_able]
            if not able or self.happens(0.01):
                self._pass_time()
            else:
                self.resume(self.random.choice(able))
        left = [task.name for task in self.tasks]
        raise AssertionError(f"After {TICKS_MAX} ticks these go on: {left}, {self._open()}")

    def _open(self) -> list[Any]:
        return [*self.memory.batches.open()]

    def _pass_time(self) -> None:
        self.memory.clock.advance(self.random.choice([1, 5, 20, 60, 90]))
        if self.memory.clock.now() - self._last_sweep >= 60:
            self._last_sweep = self.memory.clock.now()
            for step in (sweep, show_drops):
                for _ in range(2 if self.happens(self.faults.doubled) else 1):
                    self.spawn(step.__name__, partial(self.call, step))

    def call(self, step: Callable[..., Any], *args: Any) -> Any:
        """The step with the ports that it asks for."""
        parameters = inspect.signature(step).parameters.values()
        wanted = [p.name for p in parameters if p.kind is p.KEYWORD_ONLY and p.name in self.ports]
        more: dict[str, Any] = {"line_bytes_max": 10_000} if step is validate_range else {}
        return step(*args, **{name: self.ports[name] for name in wanted}, **more)

    def _deliver(self) -> None:
        """What AWS would pass on by now."""
        for name in [n for n in self.memory.workflows.started if n not in self._executions]:
            self._executions.add(name)
            payload = self.memory.workflows.started[name]
            self.spawn(f"execution {name}", partial(self._process, payload), mortal=False)
        for pool in self.memory.dispatches.asks[self._asks_seen :]:
            self._pool_asks[pool] += self._copies()
        self._asks_seen = len(self.memory.dispatches.asks)
        for pool, asks in self._pool_asks.items():
            busy = self._pool_busy.get(pool)
            if asks and (busy is None or busy.finished):
                self._pool_asks[pool] = 0
                self._pool_busy[pool] = self.spawn(
                    f"queue {pool}", partial(self._receive, dispatch_shards, pool), mortal=False,
                )  # fmt: skip
        for invocation in self.memory.endpoints.invocations[self._invocations_seen :]:
            for _ in range(self._copies()):
                self.spawn(
                    f"invocation {invocation.invocation_id}",
                    partial(self._invoke, invocation.order), mortal=False,
                )  # fmt: skip
        self._invocations_seen = len(self.memory.endpoints.invocations)

    def _copies(self) -> int:
        if self.happens(self.faults.lost):
            return 0
        return 2 if self.happens(self.faults.doubled) else 1

    def _receive(self, step: Callable[..., Any], *args: Any) -> None:
        """A queue's record: delivered until it is taken in, or dead after some tries."""
        for _ in range(RECEIVES_MAX):
            if self._attempt(step, *args).error is None:
                return

    def _attempt(self, step: Callable[..., Any], *args: Any) -> Task:
        child = self.spawn(f"{step.__name__}{args}", lambda: self.call(step, *args))
        self.wait(lambda: child.finished)
        return child

    # ── process_batch ────────────────────────────────────────────────────────────────────────────────────────────────

    def _process(self, payload: Mapping[str, Any]) -> None:
        ids = payload["account_id"], payload["batch_id"]
        try:
            self._map(validate_range, ids, [tuple(each.values()) for each in payload["ranges"]], 4)
            planned = self._state(plan_shards, *ids, len(payload["ranges"]), tries=4)
            if planned.next == "reorder":
                self._reorder(*ids, planned.chunks)
                planned = self._state(plan_shards, *ids, len(payload["ranges"]), True, tries=4)
            following = planned.next
        except OffpeakError:
            following = self._state(fail_batch, *ids)  # it may have been planned after all
        if following == "run":
            self._run_shards(*ids)
        if following != "announce":
            closed = self._state(close_batch, *ids)
            self._map(harvest_shards, ids, [(each.run, each.first, each.last) for each in closed])
            while chunks := self._state(finalize_batch, *ids).chunks:
                self._map(assemble_results, ids, [astuple(each) for each in chunks])
        if payload.get("dropped"):
            self._state(deliver_drop, *ids)
        self._state(announce_batch, *ids)

    def _reorder(self, account_id: str, batch_id: str, chunks: Sequence[ChunkPlace]) -> None:
        """A Map whose faults are caught: what isn't reordered stays as it is."""
        places = [(each.run, each.chunk) for each in chunks]
        with suppress(OffpeakError):
            self._map(reorder_shards, (account_id, batch_id), places, 2)

    def _map(
        self, step: Callable[..., Any], ids: tuple[str, str], calls: Sequence[tuple[Any, ...]],
        tries: int | None = None,
    ) -> None:  # fmt: skip
        """A Map's calls, side by side. Raises what the first of them to fail was refused with."""
        begun = [
            self.spawn(
                f"{step.__name__}{ids}{args}",
                partial(self._state, step, *ids, *args, tries=tries), mortal=False,
            )
            for args in calls
        ]  # fmt: skip
        self.wait(lambda: all(each.finished for each in begun))
        for each in begun:
            if each.error is not None:
                raise each.error

    def _state(self, step: Callable[..., Any], *args: Any, tries: int | None = None) -> Any:
        """Its answer. What is `tries` times refused (not lost: nobody dies so often) goes to the Catch."""
        refusals = 0
        while True:
            if self.happens(self.faults.doubled):
                self.spawn(f"ghost of {step.__name__}", lambda: self.call(step, *args))
            child = self._attempt(step, *args)
            if child.error is None:
                return child.result
            refusals += isinstance(child.error, StateConflict)
            if tries is not None and refusals >= tries:
                assert isinstance(child.error, StateConflict)
                raise child.error
            self.sleep(5)

    def _run_shards(self, account_id: str, batch_id: str) -> None:
        """Only the last try's token is waited for; a call of an earlier try may still be on its way."""
        for tries in count(1):
            self._tokens += 1
            token = f"token {self._tokens}"
            if tries < TASK_TOKENS_MAX and self.happens(self.faults.doubled):
                late = partial(self.call, release_runs, account_id, batch_id, token)
                self.spawn("late release_runs", late)
                continue
            if self._attempt(release_runs, account_id, batch_id, token).error is None:
                break
        self.wait(lambda: token in self.memory.workflows.answers)

    # ── the endpoint and its workers ─────────────────────────────────────────────────────────────────────────────────

    def _invoke(self, order: bytes) -> None:
        worker = self.spawn("worker", lambda: self.worker.work(order))
        self.wait(lambda: worker.finished)
        told = decode_order(order)
        self._reports += 1
        key = f"work/invocations/{self._reports}.out"
        if worker.error is None:
            self.memory.writer.put(key, encode_report(worker.result))
        notice = InvocationNotice(
            batch_id=told.batch_id, run=told.run, number=told.number, attempt=told.attempt,
            outcome="completed" if worker.error is None else "failed",
            report_key=key if worker.error is None else None,
        )  # fmt: skip
        for _ in range(self._copies()):
            self.spawn(
                f"notice {told.shard_id}.{told.attempt}",
                lambda: self._receive(complete_shard, notice), mortal=False,
            )  # fmt: skip

    # ── batches ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def submit(
        self, batch_id: str, lines: list[bytes], *, window_seconds: int, **more: Any
    ) -> None:
        """As the API would, dying before it starts the execution now and then."""
        key = f"files/acct_1/{batch_id}"
        content = b"".join(line + b"\n" for line in lines)
        self.memory.writer.put(key, content)
        now = int(self.memory.clock.now())
        batch = Batch(
            id=batch_id, account_id="acct_1", input_file_id="file-1", input_key=key,
            input_bytes=len(content), endpoint=ENDPOINT, completion_window="24h", created_at=now,
            expires_at=now + window_seconds, **more,
        )  # fmt: skip
        self.memory.changes.commit(Add(batch))
        if not self.happens(self.faults.lost):
            self.memory.workflows.start(batch_id, workflow_input(batch))

    def drop(self, key: str, body: bytes) -> None:
        """A producer puts an object; its events come some time, once or more often."""
        self.memory.writer.put(key, body)
        for _ in range(max(1, self._copies())):
            self.spawn(f"event {key}", partial(self._receive, ingest_drop, key), mortal=False)

    def cancel(self, batch_id: str) -> None:
        self.spawn(f"cancel {batch_id}", lambda: self.call(cancel_batch, "acct_1", batch_id))

    def batch(self, batch_id: str) -> Batch:
        return self.memory.batches.get("acct_1", batch_id)

    def no_shard_is_open(self, batch_id: str) -> bool:
        return all(
            shard.status in (ShardStatus.DONE, ShardStatus.CLOSED)
            for run in self.memory.runs.of_batch(batch_id)
            for shard in self.memory.shards.of_run(batch_id, run.number)
        )


def request(custom_id: str, model: str = "red", prompt: str = "hi") -> bytes:
    body = {"model": model, "prompt": prompt, "max_tokens": 4_096}
    line = {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body}
    return json.dumps(line).encode()
