"""A local cloud's deployment past its API: its ports and functions, for what a test has to look at or push."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import boto3
import pytest

from offpeak.aws.connect import Aws
from offpeak.core.account import KEY_PEPPER
from offpeak.core.errors import StateConflict
from offpeak.core.ports import Save
from offpeak.local.cloud import LocalCloud
from offpeak.steps.create_key import create_key
from tests.e2e.caller import Caller

STAGE = "local"
TABLES = (
    "accounts", "files", "batches", "runs", "shards", "requests", "groups", "gatherings",
    "ledger", "audit", "idempotency", "webhooks", "deliveries", "pools",
    "throttles",
)  # fmt: skip


def connect(cloud: LocalCloud) -> Aws:
    """The ports on the cloud's tables and bucket."""
    names = {f"OFFPEAK_TABLE_{name.upper()}": f"offpeak-{STAGE}-{name}" for name in TABLES}
    # boto3 reads where to go when a client is made: they are all made here, while the environment says it.
    with pytest.MonkeyPatch.context() as patch:
        for name, value in cloud.environment.items():
            patch.setenv(name, value)
        pepper = f"offpeak-{STAGE}-{KEY_PEPPER}"
        aws = Aws({**names, "OFFPEAK_BUCKET": cloud.bucket, "OFFPEAK_KEY_PEPPER": pepper})
        _ = aws.changes, aws.accounts, aws.files, aws.batches, aws.runs, aws.shards, aws.reader
        _ = aws.webhooks, aws.deliveries, aws.ledger, aws.key_hashes, aws.pools, aws.writer
    return aws


def make_caller(cloud: LocalCloud, aws: Aws, name: str) -> Caller:
    made = create_key(
        name, "test", make_account=True,
        clock=aws.clock, accounts=aws.accounts, changes=aws.changes, key_hashes=aws.key_hashes,
    )  # fmt: skip
    return Caller(
        base_url=cloud.base_url,
        account_id=made.account.id,
        key_id=made.key.id,
        api_key=made.secret,
    )


def call_function(cloud: LocalCloud, name: str, event: Mapping[str, Any]) -> Any:
    """Calls a deployed function and waits for its answer."""
    answer = client_of(cloud, "lambda").invoke(
        FunctionName=f"offpeak-{STAGE}-{name}", Payload=json.dumps(event).encode()
    )
    payload = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, payload
    return payload


def measured_pools(cloud: LocalCloud) -> set[str]:
    """The pools that CloudWatch has `WaitingShards` of."""
    listed = client_of(cloud, "cloudwatch").list_metrics(
        Namespace="Offpeak", MetricName="WaitingShards"
    )
    return {
        dimension["Value"]
        for metric in listed["Metrics"]
        for dimension in metric["Dimensions"]
        if dimension["Name"] == "Pool"
    }


def sweeping(cloud: LocalCloud) -> Callable[[], None]:
    """Sweeps when called, instead of waiting for the minute: what was lost waits a while, and is then sent again."""
    return lambda: call_function(cloud, "sweep", {})


def let_the_window_pass(aws: Aws, account_id: str, batch_id: str, *, left: int = -1) -> None:
    """The shortest window is an hour; this moves its end to a moment ago, or to so many seconds from now."""
    for _ in range(10):
        row = aws.batches.get(account_id, batch_id)
        past = int(aws.clock.now()) + left
        runs = [replace(run, deadline=past) for run in aws.runs.of_batch(batch_id)]
        try:
            aws.changes.commit(Save(replace(row, expires_at=past)), *map(Save, runs))
        except StateConflict:
            continue
        return
    raise AssertionError(f"{batch_id} changed ten times while it was read")


def client_of(cloud: LocalCloud, service: str) -> Any:
    """The administrator's, in the home region."""
    environment = cloud.environment
    return boto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    ).client(service, endpoint_url=cloud.aws_endpoint_url)  # type: ignore[call-overload]
