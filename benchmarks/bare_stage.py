"""A stage without functions, on the AWS emulator: tables as the stacks make them, a bucket, queues, a state machine
that does nothing, and one model. Benchmarks call the handlers themselves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import boto3

from infra.storage import TABLES

STAGE = "bench"
MODELS = """
[[model]]
id = "bench/echo"
pool = "echo"
source = "echo"
endpoints = ["/v1/chat/completions"]
context_tokens = 8_192
gather_seconds_busy = 1
gather_seconds_idle = 1

[model.prices]
basis = "base"
input = 100_000
output = 150_000
"""


def named(table: str) -> str:
    """The table of this physical name."""
    return table.removeprefix(f"{STAGE}-")


def deploy(folder: Path) -> dict[str, str]:
    """The environment of its functions."""
    dynamodb, sqs = boto3.client("dynamodb"), boto3.client("sqs")
    for name, schema in TABLES.items():
        keys = [schema.key, *schema.indexes.values()]
        types = {attribute: kind for key in keys for attribute, kind in _typed(key)}
        asked: dict[str, Any] = {
            "TableName": f"{STAGE}-{name}", "KeySchema": _schema(schema.key),
            "AttributeDefinitions": [
                {"AttributeName": attribute, "AttributeType": kind}
                for attribute, kind in types.items()
            ],
            "BillingMode": "PAY_PER_REQUEST",
        }  # fmt: skip
        if schema.indexes:
            asked["GlobalSecondaryIndexes"] = [
                {"IndexName": index, "KeySchema": _schema(key), "Projection": {"ProjectionType": "ALL"}}
                for index, key in schema.indexes.items()
            ]  # fmt: skip
        dynamodb.create_table(**asked)
    boto3.client("s3").create_bucket(Bucket=STAGE)
    pepper = boto3.client("secretsmanager").create_secret(Name="pepper", SecretString="pepper")
    machine = boto3.client("stepfunctions").create_state_machine(
        name=STAGE, roleArn="arn:aws:iam::000000000000:role/bench",
        definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
    )  # fmt: skip
    models = folder / "models.toml"
    models.write_text(MODELS)
    fifo = {"FifoQueue": "true", "ContentBasedDeduplication": "true"}
    return {
        **{f"OFFPEAK_TABLE_{name.upper()}": f"{STAGE}-{name}" for name in TABLES},
        "OFFPEAK_STAGE": STAGE,
        "OFFPEAK_BUCKET": STAGE,
        "OFFPEAK_KEY_PEPPER": pepper["ARN"],
        "OFFPEAK_MODELS": str(models),
        "OFFPEAK_STATE_MACHINE_ARN": machine["stateMachineArn"],
        "OFFPEAK_EVENT_BUS": "default",
        "OFFPEAK_REQUEST_QUEUE_URL": sqs.create_queue(QueueName="requests")["QueueUrl"],
        "OFFPEAK_GROUP_QUEUE_URL": sqs.create_queue(QueueName="groups")["QueueUrl"],
        "OFFPEAK_CALLBACK_QUEUE_URL": sqs.create_queue(QueueName="callbacks")["QueueUrl"],
        "OFFPEAK_DISPATCH_QUEUE_URL": sqs.create_queue(
            QueueName="dispatch.fifo", Attributes=fifo  # type: ignore[arg-type]
        )["QueueUrl"],
    }  # fmt: skip


def _typed(key: Any) -> list[tuple[str, str]]:
    return [each for each in (key.partition, key.sort) if each]


def _schema(key: Any) -> Any:
    kinds = ("HASH", "RANGE")
    return [
        {"AttributeName": name, "KeyType": kind}
        for (name, _), kind in zip(_typed(key), kinds, strict=False)
    ]
