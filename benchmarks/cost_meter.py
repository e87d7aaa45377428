"""A local cloud with a recorder in it, and what is sampled of its calls between two moments."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from benchmarks.aws_calls import Call, Recorder
from benchmarks.bill import (
    CLOCKED,
    Bill,
    Invocations,
    added,
    bill_functions,
    bill_of,
    read_invocations,
    without_refused,
)
from offpeak.cli.client import Api
from offpeak.cli.settings import Settings
from offpeak.local.cloud import STAGE, LocalCloud

ROOT = Path(__file__).parent.parent
SECONDS_MAX = 240.0
QUIET_SECONDS = 2.0
TICK_SECONDS = 3
# Long enough that a shard of a second has none of them, and the sleeping one some.
WORKER = {
    "OFFPEAK_LEASE_SECONDS": "120",
    "OFFPEAK_RENEW_SECONDS": str(TICK_SECONDS),
    "OFFPEAK_POLL_SECONDS": str(TICK_SECONDS),
    "OFFPEAK_CHECKPOINT_SECONDS": str(TICK_SECONDS),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What was called between two moments, by events alone."""

    calls: Sequence[Call]
    invocations: dict[str, Invocations]
    transitions: int


class Meter:
    """A local cloud with a recorder in it."""

    def __init__(self, cloud: LocalCloud, recorder: Recorder) -> None:
        self.cloud = cloud
        self._recorder = recorder
        settings = Settings(base_url=cloud.base_url, api_key=cloud.api_key)
        self.api = Api(settings)
        self._opened = ExitStack()
        self._opened.callback(self.api.__exit__)
        self._logs = self._client("logs")
        self._states = self._client("stepfunctions")
        self.rows = self._client("dynamodb")
        s3 = self._client("s3")
        asked = s3.get_bucket_notification_configuration(Bucket=cloud.bucket)
        self.tells_of_objects = "EventBridgeConfiguration" in asked

    def close(self) -> None:
        self._opened.close()

    def _client(self, name: str) -> Any:
        environment = self.cloud.environment
        client = boto3.client(
            name,  # type: ignore[call-overload]
            endpoint_url=environment["AWS_ENDPOINT_URL"],
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_REGION"],
        )
        self._opened.callback(client.close)
        return client

    def sample(self, work: Callable[[], list[str]]) -> Sample:
        """Of `work`, which answers the ids of the batches that it waited for, and of what comes after it by itself."""
        self._wait_until_quiet()
        start, started_ms = len(self._recorder), int(time.time() * 1000)
        batches = work()
        self._wait_until_quiet()
        calls = [call for call in self._recorder.calls(start) if call.caller not in CLOCKED]
        invocations = self._invocations(started_ms)
        return Sample(
            calls=calls, invocations=invocations,
            transitions=sum(map(self._transitions, batches)),
        )  # fmt: skip

    def bill(self, sample: Sample) -> Bill:
        return added(
            bill_of(without_refused(sample.calls), tells_of_objects=self.tells_of_objects),
            bill_functions(sample.invocations, sample.calls),
            {("process_batch", "transition"): float(sample.transitions)},
        )

    def _wait_until_quiet(self) -> None:
        """Announcements, deliveries and the last asks for dispatch come after a batch has ended."""
        give_up_at = time.monotonic() + SECONDS_MAX
        seen, quiet_since = -1, time.monotonic()
        while time.monotonic() - quiet_since < QUIET_SECONDS:
            if time.monotonic() > give_up_at:
                raise SystemExit("The local cloud does not come to rest.")
            time.sleep(0.2)
            calls = self._recorder.calls()
            found = sum(call.caller not in CLOCKED | {"worker"} for call in calls)
            if found != seen:
                seen, quiet_since = found, time.monotonic()

    def _invocations(self, since_ms: int) -> dict[str, Invocations]:
        found = {}
        for folder in sorted(path.name for path in (ROOT / "lambdas").iterdir() if path.is_dir()):
            if folder in CLOCKED or folder.startswith("_"):
                continue
            messages = self._messages(
                f"/aws/lambda/offpeak-{STAGE}-{folder.replace('_', '-')}", since_ms
            )
            invocations = read_invocations(messages)
            if invocations:
                found[folder] = invocations
        return found

    def _messages(self, group: str, since_ms: int) -> list[str]:
        try:
            pages = self._logs.get_paginator("filter_log_events").paginate(
                logGroupName=group, startTime=since_ms
            )
            return [event["message"] for page in pages for event in page["events"]]
        except self._logs.exceptions.ResourceNotFoundException:
            return []

    def _transitions(self, batch_id: str) -> int:
        """States entered, and the tries of those that were tried again."""
        machine = next(
            found["stateMachineArn"]
            for found in self._states.list_state_machines()["stateMachines"]
        )
        arn = machine.replace(":stateMachine:", ":execution:") + f":{batch_id}"
        pages = self._states.get_paginator("get_execution_history").paginate(executionArn=arn)
        kinds: list[str] = [event["type"] for page in pages for event in page["events"]]
        retried = sum(kind in ("LambdaFunctionFailed", "TaskFailed") for kind in kinds)
        return sum(kind.endswith("StateEntered") for kind in kinds) + int(retried)


class recorded:  # noqa: N801 - a context, used as one
    """A local cloud whose shards have so many lines, and a recorder in it."""

    def __init__(self, folder: Path, lines_a_shard: int) -> None:
        self._recorder: Recorder | None = None
        self._cloud = LocalCloud(
            engine="echo", folder=folder / "cloud", worker=WORKER, between=self._stand_between,
            model_fields={"shard_lines_max": lines_a_shard, "shard_bytes_max": 1 << 30},
        )  # fmt: skip

    def _stand_between(self, url: str) -> str:
        self._recorder = Recorder(url, lambda table: table.removeprefix(f"offpeak-{STAGE}-"))
        return self._recorder.__enter__().url

    def __enter__(self) -> Meter:
        cloud = self._cloud.__enter__()
        cloud.wait_for_workers()
        assert self._recorder is not None
        self._meter = Meter(cloud, self._recorder)
        return self._meter

    def __exit__(self, *error: Any) -> None:
        self._meter.close()
        self._cloud.__exit__(*error)
        if self._recorder is not None:
            self._recorder.__exit__(*error)
