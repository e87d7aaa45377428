"""A local cloud whose parts can be hit where it hurts: what the tests of faults share."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import boto3
from openai import OpenAI
from openai.types import Batch

from offpeak.aws.connect import Aws
from offpeak.core.account import Billing
from offpeak.core.errors import StateConflict
from offpeak.core.ports import Save
from offpeak.core.shard import Shard, ShardStatus
from offpeak.local.cloud import LocalCloud
from offpeak.steps.add_credits import add_credits
from offpeak.steps.set_billing import set_billing
from tests.e2e.caller import Caller
from tests.e2e.deployment import call_function, connect, make_caller
from tests.e2e.follow import until, until_ended
from tests.e2e.lines import MODEL, jsonl
from tests.faults.crossing import At, Crossing, Halt
from tests.faults.engine_server import EngineServer

CREDITS = 5_000_000
LEASE_SECONDS = 60
VISIBLE_SECONDS = 4
SWEEP_SECONDS = 1.0
CLAIM_SECONDS, CLAIM_SECONDS_MAX = 5.0, 300.0
SECONDS_MAX = 300.0
STATE_TRIES = 6
ATTEMPTS_MAX = 4
SHARD_LINES_MAX = 30
"""More than the lines of nearly all batches here: what is done to their worker is done to one shard."""
FAST = {
    "OFFPEAK_LEASE_SECONDS": str(LEASE_SECONDS),
    "OFFPEAK_RENEW_SECONDS": "1",
    "OFFPEAK_POLL_SECONDS": "1",
    "OFFPEAK_CHECKPOINT_SECONDS": "1",
    "OFFPEAK_RETRY_SECONDS": "0.2",
}


@dataclass(frozen=True, slots=True)
class FaultyCloud:
    """`launcher` is the shell script's part that runs before each worker's program: limits, other settings."""

    cloud: LocalCloud
    crossing: Crossing
    engine: EngineServer
    aws: Aws
    launcher: Path

    # ── callers and batches ──────────────────────────────────────────────────────────────────────────────────────────

    def new_caller(self, name: str) -> Caller:
        """An account that pays for what it uses."""
        caller = make_caller(self.cloud, self.aws, f"{name}-{uuid4().hex[:8]}")
        ports = {"changes": self.aws.changes}
        set_billing(caller.account_id, Billing.ENFORCE, accounts=self.aws.accounts, **ports)
        add_credits(
            caller.account_id, CREDITS, note="", reference=None, clock=self.aws.clock,
            ledger=self.aws.ledger, **ports,
        )  # fmt: skip
        return caller

    def begin(self, caller: Caller, lines: Sequence[dict[str, Any]], **more: Any) -> str:
        """The id of a batch of these lines; `more` are fields that OpenAI doesn't have."""
        client = caller.sdk()
        file = client.files.create(file=("lines.jsonl", jsonl(lines)), purpose="batch")
        return client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
            extra_body=more,
        ).id  # fmt: skip

    def ended(
        self, caller: Caller, batch_id: str, claim_seconds: float = CLAIM_SECONDS_MAX
    ) -> Batch:
        """The batch, once it has ended, the sweep looking every second, no back-off and no dead worker's lease waited
        for, and `claim_seconds` for an instance to take what was invoked."""
        hurry = self._hurrying(batch_id, claim_seconds)
        return until_ended(caller.sdk(), batch_id, SECONDS_MAX, meanwhile=hurry)

    def until(self, client: OpenAI, batch_id: str, reached: Callable[[Batch], bool]) -> Batch:
        return until(client, batch_id, reached, SECONDS_MAX)

    def _hurrying(self, batch_id: str, claim_seconds: float) -> Callable[[], None]:
        next_at = 0.0

        def hurry() -> None:
            nonlocal next_at
            if time.monotonic() >= next_at:
                self._let_time_pass(batch_id, claim_seconds)
                call_function(self.cloud, "sweep", {})
                next_at = time.monotonic() + SWEEP_SECONDS

        return hurry

    def _let_time_pass(self, batch_id: str, claim_seconds: float) -> None:
        """What takes minutes here takes until the next sweep."""
        now = int(self.aws.clock.now())
        alive = {str(worker["pid"]) for worker in self.cloud.workers()}
        over: Mapping[ShardStatus, Callable[[Shard], bool]] = {
            ShardStatus.WAITING: lambda _: True,
            ShardStatus.CLAIMED: lambda shard: _pid_of(shard) not in alive,
            ShardStatus.DISPATCHED: lambda shard: shard.dispatched_at + claim_seconds <= now,
        }
        for run in self.aws.runs.of_batch(batch_id):
            for shard in self.aws.shards.of_run(batch_id, run.number):
                if shard.is_open and shard.due_at > now and over[shard.status](shard):
                    with suppress(StateConflict):  # it has moved by itself
                        self.aws.changes.commit(Save(replace(shard, due_at=now)))

    # ── workers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def worker_pid(self) -> int:
        """The one worker's, ready or not, as soon as there is one."""
        return int(self._until(lambda: next((w["pid"] for w in self.cloud.workers()), 0)))

    def await_worker(self) -> None:
        self.cloud.wait_for_workers(SECONDS_MAX)

    def await_gone(self, pid: int) -> None:
        self._until(lambda: pid not in [worker["pid"] for worker in self.cloud.workers()])

    @contextmanager
    def launching(self, *commands: str) -> Iterator[None]:
        """Workers that start within it run these shell commands before their program. One starts now, and one after."""
        self.launcher.write_text("\n".join(commands) + "\n")
        self._replace_worker()
        try:
            yield
        finally:
            self.launcher.write_text("")
            self._replace_worker()

    def _replace_worker(self) -> None:
        pid = self.worker_pid
        self.cloud.signal_worker(pid, "SIGKILL")
        self.await_gone(pid)

    @staticmethod
    def _until(found: Callable[[], Any]) -> Any:
        return until_found(found)

    # ── functions ────────────────────────────────────────────────────────────────────────────────────────────────────

    def call_as_a_clock(self, name: str) -> None:
        """One tick; what fails is left to the next one."""
        with suppress(AssertionError):
            call_function(self.cloud, name, {})

    def call_as_a_state(self, name: str, event: Mapping[str, Any]) -> None:
        """As Step Functions does: again, when the function has failed."""
        for _ in range(STATE_TRIES):
            with suppress(AssertionError):
                call_function(self.cloud, name, event)
                return
        raise AssertionError(f"{name} failed {STATE_TRIES} times.")

    # ── faults ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def halt(self, at: At) -> Halt:
        """The first such call waits until it is released."""
        return self.crossing.halt(at)

    def hold(self, at: At) -> Halt:
        """Every such call waits until it is released, those included that are made because one got no answer."""
        return self.crossing.halt(at, every=True)

    def kill_at(self, *places: At) -> Sequence[Halt]:
        """Whoever makes the first call that one of these means is killed there."""
        return [self.crossing.halt(at, deadly=True) for at in places]


def until_found(
    found: Callable[[], Any], meanwhile: Callable[[], None] = lambda: None, pause: float = 0.05
) -> Any:
    """What it finds, once that is something."""
    give_up_at = time.monotonic() + SECONDS_MAX
    while not (value := found()):
        assert time.monotonic() < give_up_at, f"not within {SECONDS_MAX} s"
        meanwhile()
        time.sleep(pause)
    return value


def _pid_of(shard: Shard) -> str:
    """Of the worker that has claimed it: workers go by host and process, and by the invocation."""
    return (shard.worker or "").partition("/")[0].rpartition("-")[2]


@contextmanager
def faulty_cloud(emulator_python: Path, folder: Path) -> Iterator[FaultyCloud]:
    crossings: list[Crossing] = []

    def between(target: str) -> str:
        crossings.append(Crossing(target))
        return crossings[0].__enter__().url

    launcher = folder / "launcher.sh"
    with EngineServer(MODEL) as engine:
        cloud = LocalCloud(
            engine=engine.url, model=MODEL, folder=folder / "cloud", worker=FAST,
            emulator_python=emulator_python, worker_python=_wrapped_python(folder, launcher),
            model_fields={
                "instances_min": 1, "instances_max": 1, "attempts_max": ATTEMPTS_MAX,
                "shard_lines_max": SHARD_LINES_MAX,
            },
            between=between,
        )  # fmt: skip
        try:
            with cloud:
                cloud.wait_for_workers()
                _show_messages_soon_again(cloud)
                yield FaultyCloud(cloud, crossings[0], engine, connect(cloud), launcher)
        finally:
            for crossing in crossings:
                crossing.__exit__(None, None, None)


def _wrapped_python(folder: Path, launcher: Path) -> Path:
    """An interpreter that first runs what the launcher says, as the same process."""
    launcher.write_text("")
    wrapped = folder / "bin/python"
    wrapped.parent.mkdir()
    run = f'. {shlex.quote(str(launcher))}\nexec {shlex.quote(sys.executable)} "$@"\n'
    wrapped.write_text(f"#!/bin/sh\n{run}")
    wrapped.chmod(0o755)
    return wrapped


def _show_messages_soon_again(cloud: LocalCloud) -> None:
    """What a dead consumer had in its hands is shown again after minutes; here after seconds."""
    environment = cloud.environment
    sqs = boto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    ).client("sqs", endpoint_url=cloud.aws_endpoint_url)
    for url in sqs.list_queues()["QueueUrls"]:
        sqs.set_queue_attributes(
            QueueUrl=url, Attributes={"VisibilityTimeout": str(VISIBLE_SECONDS)}
        )
