"""The drop folder's wiring: which notices reach the queue, and what others may do in the bucket."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from aws_cdk import App
from aws_cdk.assertions import Template
from hypothesis import given
from hypothesis import strategies as st

from infra.stacks import StorageStack
from infra.stage import Stage
from infra.stages_file import StageError, parse_stages
from offpeak.core.drop import DropSource, account_of
from offpeak.core.layout import (
    batch_errors_key,
    error_key,
    file_key,
    manifest_key,
    output_key,
    part_key,
)
from tests.infra.synthesised import Synthesised

ACCOUNT = "acct_0193a4c8f2d1e5b7a9c0d4e6f8"
ROLE = "arn:aws:iam::210987654321:role/etl"


def _bucket(stage: Synthesised) -> Mapping[str, Any]:
    buckets = stage.templates["storage"].find_resources("AWS::S3::Bucket").values()
    [bucket] = [b for b in buckets if "NotificationConfiguration" in b["Properties"]]
    return bucket


def _filters(stage: Synthesised) -> Sequence[Mapping[str, str]]:
    told = _bucket(stage)["Properties"]["NotificationConfiguration"]["QueueConfigurations"]
    return [
        {rule["Name"]: rule["Value"] for rule in each["Filter"]["S3Key"]["Rules"]} for each in told
    ]


def _passes(key: str, filters: Sequence[Mapping[str, str]]) -> bool:
    return any(key.startswith(f["prefix"]) and key.endswith(f["suffix"]) for f in filters)


def test_the_bucket_tells_of_the_drop_folder_alone_and_tells_the_queue(prod: Synthesised) -> None:
    """EventBridge would be told, and paid, for every object in the bucket."""
    told = _bucket(prod)["Properties"]["NotificationConfiguration"]
    assert set(told) == {"QueueConfigurations"}
    assert {each["Event"] for each in told["QueueConfigurations"]} == {"s3:ObjectCreated:*"}
    assert not prod.templates["storage"].find_resources("Custom::S3BucketNotifications")
    assert not prod.templates["storage"].find_resources("AWS::Lambda::Function")


def test_the_queue_lets_this_bucket_send_before_the_bucket_is_told_of_it(
    prod: Synthesised,
) -> None:
    policies = prod.templates["storage"].find_resources("AWS::SQS::QueuePolicy")
    allowed = {
        name: statement
        for name, policy in policies.items()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow"
    }
    [(name, statement)] = allowed.items()
    assert statement["Principal"] == {"Service": "s3.amazonaws.com"}
    assert statement["Action"] == "sqs:SendMessage"
    assert set(statement["Condition"]) == {"ArnEquals", "StringEquals"}
    assert name in _bucket(prod)["DependsOn"]


@given(
    name=st.text(
        st.characters(codec="utf-8", exclude_characters="*?[]\\"), min_size=1, max_size=30
    ),
    end=st.sampled_from([".jsonl", ".jsonl.gz"]),
)
def test_every_input_is_told_of_and_of_what_we_write_beside_it_nothing_starts_a_batch(
    prod: Synthesised, name: str, end: str
) -> None:
    key = f"drop/acct_1/{name}{end}"
    if account_of(key) is None:
        return
    source = DropSource(key=key, etag="e")
    filters = _filters(prod)
    assert sum(_passes(key, [each]) for each in filters) == 1  # S3 refuses filters that overlap
    beside = [source.status_key, source.output_key, source.errors_key, source.sidecar_key]
    assert [k for k in beside if _passes(k, filters) and account_of(k) is not None] == []
    assert not _passes(source.status_key, filters)  # it is written each minute


def test_nothing_that_we_write_elsewhere_is_told_of(prod: Synthesised) -> None:
    ours = [
        file_key("a", "f"), part_key("a", "u", "p"), manifest_key("b", 0, "c"), output_key("b"),
        error_key("b"), batch_errors_key("b"), "results/b/x.jsonl", "work/b/0/x.jsonl",
    ]  # fmt: skip
    assert [key for key in ours if _passes(key, _filters(prod))] == []


def _statements(producers: Mapping[str, Sequence[str]]) -> list[Mapping[str, Any]]:
    stack = StorageStack(App(), stage=replace(Stage(name="prod"), drop_producers=producers))
    found = Template.from_stack(stack).find_resources("AWS::S3::BucketPolicy").values()
    return [
        statement
        for policy in found
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if statement["Effect"] == "Allow" and "logging.s3" not in json.dumps(statement)
    ]


def test_another_accounts_producer_may_put_objects_into_its_part_and_nothing_else() -> None:
    [statement] = _statements({ACCOUNT: ["210987654321", ROLE]})
    assert statement["Action"] == "s3:PutObject"
    assert json.dumps(statement["Resource"]).count(f"/drop/{ACCOUNT}/*") == 1
    allowed = json.dumps(statement["Principal"]["AWS"])
    assert ":iam::210987654321:root" in allowed
    assert ROLE in allowed
    assert "*" not in allowed
    assert "Condition" not in statement


def test_nobody_else_is_let_in_unasked(prod: Synthesised) -> None:
    assert _statements({}) == []
    for policy in prod.templates["storage"].find_resources("AWS::S3::BucketPolicy").values():
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
            assert statement["Effect"] == "Deny" or "Service" in statement["Principal"]


@pytest.mark.parametrize(
    "producers",
    [
        "acct = 3",
        "research = ['210987654321']",
        f"{ACCOUNT} = '210987654321'",
        f"{ACCOUNT} = ['*']",
        f"{ACCOUNT} = ['arn:aws:iam::210987654321:root']",
        f"{ACCOUNT} = [210987654321]",
    ],
)
def test_a_wrong_producer_ends_the_synthesis_with_a_sentence(producers: str) -> None:
    with pytest.raises(StageError, match="drop_producers takes a table"):
        parse_stages(f"[prod.drop_producers]\n{producers}\n")


def test_producers_are_read_from_the_stages_file() -> None:
    stages = parse_stages(f"[prod.drop_producers]\n{ACCOUNT} = ['210987654321', '{ROLE}']\n")
    assert stages["prod"].drop_producers == {ACCOUNT: ["210987654321", ROLE]}
