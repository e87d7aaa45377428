"""The AWS adapters on the emulator: what the stacks would make for them, made by hand, under names of its own."""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import pytest

from offpeak.aws.connect import Aws
from offpeak.core.batch import Batch
from offpeak.core.delivery import AttemptAsk
from offpeak.core.ports import Bounds
from offpeak.local.emulator import Emulator
from tests.contract.worlds import Announced, Invoked, Ports

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.type_defs import DimensionTypeDef
    from mypy_boto3_dynamodb.type_defs import (
        AttributeDefinitionTypeDef,
        CreateTableInputTypeDef,
        GlobalSecondaryIndexTypeDef,
        KeySchemaElementTypeDef,
    )

SECONDS_MAX = 20.0

# name → (key, {index: key}); a key's second attribute may be a number
TABLES: dict[str, tuple[tuple[str, ...], dict[str, tuple[str, ...]]]] = {
    "accounts": (("pk",), {"keys": ("account_id", "id")}),
    "files": (("account_id", "id"), {"expiring": ("expiring", "expires_at")}),
    "batches": (("account_id", "id"), {"open": ("open", "open_key")}),
    "runs": (("batch_id", "number"), {"queue": ("queue_pool", "queue_key")}),
    "shards": (("run_id", "number"), {"open": ("open_pool", "shard_id")}),
    "requests": (
        ("id",),
        {
            "open_members": ("open_group", "id"),
            "open_callbacks": ("open_callback", "expires_at"),
        },
    ),
    "groups": (("account_id", "id"), {"open": ("open", "open_key")}),
    "gatherings": (("lane_id", "id"), {"open": ("open", "due_at")}),
    "ledger": (("account_id", "id"), {"by_time": ("account_id", "position")}),
    "pools": (("id",), {}),
    "audit": (("trail", "id"), {}),
    "idempotency": (("pk",), {}),
    "throttles": (("id",), {}),
    "webhooks": (("account_id", "id"), {}),
    "deliveries": (("destination_id", "id"), {"due": ("due_bucket", "due_at")}),
}
NUMBERS = {"number", "deadline", "expires_at", "due_at"}

WAITING = {
    "StartAt": "Wait",
    "States": {
        "Wait": {
            "Type": "Task",
            "Resource": "arn:aws:states:::sqs:sendMessage.waitForTaskToken",
            "Parameters": {
                "QueueUrl": "",
                "MessageBody": {"execution.$": "$$.Execution.Name", "token.$": "$$.Task.Token"},
            },
            "TimeoutSeconds": 60,
            "End": True,
        }
    },
}


@contextmanager
def aws_world(emulator: Emulator) -> Iterator[AwsWorld]:
    """All clients are made while the environment points at the emulator, and keep pointing there."""
    with _recording_endpoints() as endpoints:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in emulator.environment.items():
                patch.setenv(name, value)
            runtime_url = f"http://127.0.0.1:{endpoints.server_port}"
            for service in ("SAGEMAKER_RUNTIME", "SAGEMAKER", "APPLICATION_AUTO_SCALING"):
                patch.setenv(f"AWS_ENDPOINT_URL_{service}", runtime_url)
            world = AwsWorld(uuid.uuid4().hex[:8], endpoints)
        yield world


class RecordingEndpoints(ThreadingHTTPServer):
    """Answers as SageMaker and Application Auto Scaling do, each region's endpoints by themselves, and keeps what it
    was sent. Every endpoint but those called `missing` is there, with no instance at first."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _EndpointHandler)
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.instances: dict[str, int] = defaultdict(int)
        self.asked: dict[tuple[str, str], dict[str, Any]] = {}

    def control(self, call: str, region: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        """Raises KeyError for an endpoint that isn't there."""
        name = asked.get("EndpointName") or asked["ResourceId"].split("/")[1]
        if name.endswith("missing"):
            raise KeyError(name)
        place = f"{region}/{name}"
        self.asked[place, call] = dict(asked)
        if call == "RegisterScalableTarget":
            most, least = asked["MaxCapacity"], asked["MinCapacity"]
            self.instances[place] = min(max(self.instances[place], least), most)
        count = self.instances[place]
        variant = {"VariantName": "AllTraffic", "CurrentInstanceCount": count}
        described = {
            "EndpointName": name, "EndpointArn": "arn:aws:sagemaker:us-east-1:000000000000:endpoint/e",
            "EndpointStatus": "InService", "CreationTime": 0, "LastModifiedTime": 0,
            "ProductionVariants": [{**variant, "DesiredInstanceCount": count}],
        }  # fmt: skip
        return described if call == "DescribeEndpoint" else {}


class _EndpointHandler(BaseHTTPRequestHandler):
    server: RecordingEndpoints

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        if "x-amz-target" in headers:
            return self._control(headers, json.loads(body))
        self.server.requests.append((self.path, headers, body))
        answer = json.dumps({"InferenceId": headers["x-amzn-sagemaker-inference-id"]}).encode()
        self.send_response(202)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.send_header("X-Amzn-SageMaker-OutputLocation", "s3://bucket/async/output.out")
        self.end_headers()
        self.wfile.write(answer)
        return None

    def _control(self, headers: Mapping[str, str], asked: Mapping[str, Any]) -> None:
        region = headers["authorization"].split("/")[2]
        call = headers["x-amz-target"].rpartition(".")[2]
        try:
            status, answer = 200, self.server.control(call, region, asked)
        except KeyError as missing:
            kind = (
                "ValidationException" if call == "DescribeEndpoint" else "ObjectNotFoundException"
            )
            message = f'Could not find endpoint "{missing}".'
            status, answer = 400, {"__type": kind, "message": message}
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Quietly."""


@contextmanager
def _recording_endpoints() -> Iterator[RecordingEndpoints]:
    with RecordingEndpoints() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class AwsWorld:
    def __init__(self, name: str, endpoints: RecordingEndpoints) -> None:
        session = boto3.Session(region_name="us-east-1")
        self.dynamodb = session.client("dynamodb")
        self.sqs = session.client("sqs")
        self.sfn = session.client("stepfunctions")
        self.events = session.client("events")
        self.cloudwatch = session.client("cloudwatch")
        self.recording = endpoints
        self.name = name
        session.client("s3").create_bucket(Bucket=f"contract-{name}")
        for table in TABLES:
            self._make_table(table)
        self.tokens_url = self._make_queue("tokens")
        self.events_url = self._make_queue("events")
        self.dispatch_url = self._make_queue("dispatch.fifo")
        self.requests_url = self._make_queue("requests")
        self.groups_url = self._make_queue("groups")
        self.callbacks_url = self._make_queue("callbacks")
        secret = session.client("secretsmanager").create_secret(
            Name=f"contract-{name}", SecretString="a master secret"
        )
        self.environment = {
            "OFFPEAK_REQUEST_QUEUE_URL": self.requests_url,
            "OFFPEAK_GROUP_QUEUE_URL": self.groups_url,
            "OFFPEAK_BUCKET": f"contract-{name}",
            "OFFPEAK_STATE_MACHINE_ARN": self._make_state_machine(),
            "OFFPEAK_DISPATCH_QUEUE_URL": self.dispatch_url,
            "OFFPEAK_ENDPOINT_PREFIX": f"contract-{name}-",
            "OFFPEAK_EVENT_BUS": self._make_bus(),
            "OFFPEAK_STAGE": f"contract-{name}",
            "OFFPEAK_CALLBACK_QUEUE_URL": self.callbacks_url,
            "OFFPEAK_SIGNING_SECRET": secret["ARN"],
            "OFFPEAK_KEY_PEPPER": secret["ARN"],
            **{f"OFFPEAK_TABLE_{t.upper()}": self.table_name(t) for t in TABLES},
        }
        self.aws = Aws(self.environment)
        for port in vars(Ports):
            if not port.startswith("_"):
                getattr(self.aws, port)  # makes its client now
        elsewhere = "first@eu-north-1"  # a further region's clients, too
        self.aws.capacity.counts(elsewhere)
        self.aws.capacity.bound(elsewhere, Bounds(0, 0), until=0, then=Bounds(0, 0))
        self._tokens: dict[str, str] = {}
        self._announced: dict[str, Announced] = {}

    @property
    def ports(self) -> Ports:
        return self.aws

    def table_name(self, table: str) -> str:
        return f"contract-{self.name}-{table}"

    def input_of(self, execution: str) -> Any:
        return json.loads(self._execution(execution)["input"])

    def wait_for_token(self, execution: str) -> str:
        self.aws.workflows.start(execution, {})
        deadline = time.monotonic() + SECONDS_MAX
        while execution not in self._tokens:
            assert time.monotonic() < deadline
            for body in self._receive(self.tokens_url):
                self._tokens[body["execution"]] = body["token"]
        return self._tokens[execution]

    def answer_to(self, execution: str, token: str) -> Any:
        found = self._ended(execution)
        assert found["status"] == "SUCCEEDED"
        return json.loads(found["output"])

    def fail(self, execution: str, token: str) -> None:
        self.sfn.send_task_failure(taskToken=token, error="Fault", cause="A test's.")
        assert self._ended(execution)["status"] == "FAILED"

    def asks(self, pools: set[str], count: int) -> list[str]:
        found: list[str] = []
        deadline = time.monotonic() + SECONDS_MAX
        while len(found) < count:
            assert time.monotonic() < deadline
            found += [b["pool"] for b in self._receive(self.dispatch_url) if b["pool"] in pools]
        return found

    def attempts_asked(self, destination_id: str, count: int) -> list[AttemptAsk]:
        found: list[AttemptAsk] = []
        deadline = time.monotonic() + SECONDS_MAX
        while len(found) < count:
            assert time.monotonic() < deadline
            asks = (AttemptAsk(**body) for body in self._receive(self.callbacks_url))
            found += [ask for ask in asks if ask.destination_id == destination_id]
        return found

    def invoked(self, pool: str) -> list[Invoked]:
        path = f"/endpoints/contract-{self.name}-{pool}/async-invocations"
        return [
            Invoked(pool, headers["x-amzn-sagemaker-inference-id"], body)
            for asked, headers, body in self.recording.requests
            if asked == path
        ]

    def bounded(self, pool: str) -> tuple[Bounds, int, Bounds]:
        name, _, region = pool.partition("@")
        place = f"{region or 'us-east-1'}/contract-{self.name}-{name}"
        now = self.recording.asked[place, "RegisterScalableTarget"]
        action = self.recording.asked[place, "PutScheduledAction"]
        at = datetime.fromisoformat(action["Schedule"][3:-1]).replace(tzinfo=UTC)
        then = action["ScalableTargetAction"]
        return (
            Bounds(now["MinCapacity"], now["MaxCapacity"]),
            int(at.timestamp()),
            Bounds(then["MinCapacity"], then["MaxCapacity"]),
        )

    def announced(self, batch: Batch) -> Announced:
        deadline = time.monotonic() + SECONDS_MAX
        while batch.id not in self._announced:
            assert time.monotonic() < deadline
            for event in self._receive(self.events_url):
                detail = event["detail"]
                self._announced[detail["batch_id"]] = Announced(
                    event["detail-type"], detail["batch_id"], detail["account_id"], detail["status"]
                )
        return self._announced[batch.id]

    def measured(self, pool: str) -> Mapping[str, Sequence[float]]:
        dimensions: list[DimensionTypeDef] = [
            {"Name": "Stage", "Value": f"contract-{self.name}"},
            {"Name": "Pool", "Value": pool},
        ]
        listed = self.cloudwatch.list_metrics(
            Namespace="Offpeak", Dimensions=[{"Name": "Pool", "Value": pool}]
        )
        return {
            m["MetricName"]: self._values(m["MetricName"], dimensions) for m in listed["Metrics"]
        }

    def _values(self, name: str, dimensions: list[DimensionTypeDef]) -> list[float]:
        now = datetime.now(UTC)
        found = self.cloudwatch.get_metric_statistics(
            Namespace="Offpeak", MetricName=name, Dimensions=dimensions, Period=60,
            StartTime=now - timedelta(hours=2), EndTime=now + timedelta(minutes=2),
            Statistics=["Maximum"],
        )  # fmt: skip
        return sorted(point["Maximum"] for point in found["Datapoints"])

    def upload(self, url: str, body: bytes) -> str:
        answer = httpx.put(url, content=body, timeout=60)
        answer.raise_for_status()
        return answer.headers["ETag"]

    def download(self, url: str) -> bytes:
        answer = httpx.get(url, timeout=60)
        answer.raise_for_status()
        return answer.content

    def _ended(self, execution: str) -> Any:
        deadline = time.monotonic() + SECONDS_MAX
        while (found := self._execution(execution))["status"] == "RUNNING":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return found

    def _execution(self, name: str) -> Any:
        arn = self.environment["OFFPEAK_STATE_MACHINE_ARN"].replace(":stateMachine:", ":execution:")
        return self.sfn.describe_execution(executionArn=f"{arn}:{name}")

    def _receive(self, queue_url: str) -> Iterator[Any]:
        answer = self.sqs.receive_message(
            QueueUrl=queue_url, MaxNumberOfMessages=10, WaitTimeSeconds=1
        )
        for message in answer.get("Messages", ()):
            self.sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
            yield json.loads(message["Body"])

    def _make_table(self, table: str) -> None:
        key, indexes = TABLES[table]
        names = {name for names in (key, *indexes.values()) for name in names}
        definitions: list[AttributeDefinitionTypeDef] = [
            {"AttributeName": name, "AttributeType": "N" if name in NUMBERS else "S"}
            for name in sorted(names)
        ]
        global_indexes: list[GlobalSecondaryIndexTypeDef] = [
            {
                "IndexName": index,
                "KeySchema": _schema(index_key),
                "Projection": {"ProjectionType": "ALL"},
            }
            for index, index_key in indexes.items()
        ]
        asked: CreateTableInputTypeDef = {
            "TableName": self.table_name(table),
            "KeySchema": _schema(key),
            "AttributeDefinitions": definitions,
            "BillingMode": "PAY_PER_REQUEST",
        }
        if global_indexes:  # none is no empty list
            asked["GlobalSecondaryIndexes"] = global_indexes
        self.dynamodb.create_table(**asked)

    def _make_queue(self, queue: str) -> str:
        made = self.sqs.create_queue(
            QueueName=f"contract-{self.name}-{queue}",
            Attributes={"FifoQueue": "true"} if queue.endswith(".fifo") else {},
        )
        return made["QueueUrl"]

    def _make_state_machine(self) -> str:
        definition = json.loads(json.dumps(WAITING))
        definition["States"]["Wait"]["Parameters"]["QueueUrl"] = self.tokens_url
        return self.sfn.create_state_machine(
            name=f"contract-{self.name}",
            definition=json.dumps(definition),
            roleArn="arn:aws:iam::000000000000:role/contract",
        )["stateMachineArn"]

    def _make_bus(self) -> str:
        bus, rule = f"contract-{self.name}", f"contract-{self.name}-all"
        arn = self.sqs.get_queue_attributes(QueueUrl=self.events_url, AttributeNames=["QueueArn"])
        self.events.create_event_bus(Name=bus)
        self.events.put_rule(
            Name=rule, EventBusName=bus, EventPattern=json.dumps({"source": ["offpeak"]})
        )
        self.events.put_targets(
            Rule=rule,
            EventBusName=bus,
            Targets=[{"Id": "queue", "Arn": arn["Attributes"]["QueueArn"]}],
        )
        return bus


def _schema(key: tuple[str, ...]) -> list[KeySchemaElementTypeDef]:
    hash_key: list[KeySchemaElementTypeDef] = [{"AttributeName": key[0], "KeyType": "HASH"}]
    return hash_key + [{"AttributeName": name, "KeyType": "RANGE"} for name in key[1:]]
