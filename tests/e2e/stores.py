"""Every place where the local cloud keeps or writes something down, read whole: for tests that search in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import boto3

from offpeak.local.cloud import LocalCloud

READ_WHOLE_MAX = 50_000_000
"""Objects above this aren't looked through: those of other tests, which share the cloud."""


@dataclass(frozen=True)
class Stores:
    """`began` is when to look from, in seconds since the epoch, where a store has times."""

    cloud: LocalCloud
    began: float

    def rows(self) -> Iterator[tuple[str, str]]:
        """Every row of every table, indexes included: they hold nothing that their tables don't."""
        dynamodb = self._client("dynamodb")
        for page in dynamodb.get_paginator("list_tables").paginate():
            for table in page["TableNames"]:
                for rows in dynamodb.get_paginator("scan").paginate(TableName=table):
                    yield from ((table, repr(item)) for item in rows["Items"])

    def executions(self) -> Iterator[tuple[str, str]]:
        """Inputs, outputs and events of the executions that began since."""
        states = self._client("stepfunctions")
        for machine in states.list_state_machines()["stateMachines"]:
            arn = machine["stateMachineArn"]
            for page in states.get_paginator("list_executions").paginate(stateMachineArn=arn):
                for execution in page["executions"]:
                    if execution["startDate"].timestamp() < self.began - 1:
                        continue
                    history = states.get_paginator("get_execution_history").paginate(
                        executionArn=execution["executionArn"]
                    )
                    for events in history:
                        yield (execution["name"], repr(events["events"]))

    def function_logs(self) -> Iterator[tuple[str, str]]:
        logs = self._client("logs")
        for group in logs.describe_log_groups()["logGroups"]:
            name = group["logGroupName"]
            pages = logs.get_paginator("filter_log_events").paginate(
                logGroupName=name, startTime=int((self.began - 1) * 1_000)
            )
            for page in pages:
                yield from ((name, event["message"]) for event in page["events"])

    def process_logs(self) -> Iterator[tuple[str, str]]:
        """Of the door, the gateway, the stand-in for SageMaker and the workers."""
        for path in sorted((self.cloud.folder / "logs").rglob("*.log")):
            yield path.name, path.read_text(errors="replace")

    def metrics(self) -> Iterator[tuple[str, str]]:
        cloudwatch = self._client("cloudwatch")
        for page in cloudwatch.get_paginator("list_metrics").paginate():
            yield from ((metric["MetricName"], repr(metric)) for metric in page["Metrics"])

    def queues(self) -> Iterator[tuple[str, str]]:
        """What was given up; and what of the others can be seen without taking it from its receiver: how many."""
        sqs = self._client("sqs")
        for url in sqs.list_queues().get("QueueUrls", ()):
            if "-dead" in url:
                found = sqs.receive_message(
                    QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=0
                )
                yield from ((url, message["Body"]) for message in found.get("Messages", ()))

    def objects(self) -> Iterator[tuple[str, bytes]]:
        s3 = self._client("s3")
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=self.cloud.bucket):
            for each in page.get("Contents", ()):
                recent = each["LastModified"].timestamp() >= self.began - 2
                if recent and each["Size"] <= READ_WHOLE_MAX:
                    try:
                        body = s3.get_object(Bucket=self.cloud.bucket, Key=each["Key"])["Body"]
                    except s3.exceptions.NoSuchKey:
                        continue
                    yield each["Key"], body.read()

    def _client(self, service: str) -> Any:
        environment = self.cloud.environment
        session = boto3.Session(
            aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
            region_name=environment["AWS_REGION"],
        )
        return session.client(service, endpoint_url=self.cloud.aws_endpoint_url)  # type: ignore[call-overload]
