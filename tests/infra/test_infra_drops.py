"""The drop folder's wiring: which events reach the queue, and what others may do in the bucket."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from typing import Any

import pytest
from aws_cdk import App
from aws_cdk.assertions import Template
from hypothesis import given
from hypothesis import strategies as st

from infra.stacks import StorageStack
from infra.stage import Stage, StageError, parse_stages
from offpeak.core.drop import RESERVED_SUFFIXES, DropSource, account_of
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


def _rule(stage: Synthesised) -> Mapping[str, Any]:
    rules = stage.templates["lifecycle"].find_resources("AWS::Events::Rule").values()
    [rule] = [r["Properties"] for r in rules if r["Properties"].get("Name") == "offpeak-prod-drops"]
    return rule  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def excluded(prod: Synthesised) -> Sequence[str]:
    [matcher] = _rule(prod)["EventPattern"]["detail"]["object"]["key"]
    [(operator, nested)] = matcher.items()
    assert operator == "anything-but"
    patterns: Sequence[str] = nested["wildcard"]
    assert all(pattern.count("*") == 1 and "?" not in pattern for pattern in patterns)
    return patterns


def _passes(key: str, excluded: Sequence[str]) -> bool:
    return not any(fnmatchcase(key, pattern) for pattern in excluded)


def test_the_bucket_tells_eventbridge_and_no_function_of_cdks_had_to_ask_it(
    prod: Synthesised,
) -> None:
    prod.templates["storage"].has_resource_properties(
        "AWS::S3::Bucket",
        {"NotificationConfiguration": {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}},
    )
    assert not prod.templates["storage"].find_resources("Custom::S3BucketNotifications")
    assert not prod.templates["storage"].find_resources("AWS::Lambda::Function")


def test_new_objects_of_our_bucket_go_to_the_queue_of_drops(prod: Synthesised) -> None:
    rule = _rule(prod)
    assert rule["EventPattern"]["source"] == ["aws.s3"]
    assert rule["EventPattern"]["detail-type"] == ["Object Created"]
    [bucket] = rule["EventPattern"]["detail"]["bucket"]["name"]
    assert "StorageBucket" in json.dumps(bucket)
    [target] = rule["Targets"]
    assert "QueuesDrops" in target["Arn"]["Fn::GetAtt"][0]
    assert "EventBusName" not in rule  # S3 tells the account's default bus


@given(
    name=st.text(
        st.characters(codec="utf-8", exclude_characters="*?[]\\"), min_size=1, max_size=30
    ),
    end=st.sampled_from([".jsonl", ".jsonl.gz"]),
)
def test_every_input_passes_the_rule_and_no_result_of_it_does(
    excluded: Sequence[str], name: str, end: str
) -> None:
    key = f"drop/acct_1/{name}{end}"
    if account_of(key) is None:
        return
    source = DropSource(key=key, etag="e")
    assert _passes(key, excluded)
    beside = [source.status_key, source.output_key, source.errors_key, source.sidecar_key]
    assert [key for key in beside if _passes(key, excluded)] == []


def test_nothing_that_we_write_elsewhere_passes_the_rule(excluded: Sequence[str]) -> None:
    ours = [
        file_key("a", "f"), part_key("a", "u", "p"), manifest_key("b", 0), output_key("b"),
        error_key("b"), batch_errors_key("b"), "results/b/x.jsonl", "work/b/0/x.jsonl",
    ]  # fmt: skip
    assert [key for key in ours if _passes(key, excluded)] == []
    assert {pattern[1:] for pattern in excluded if pattern[0] == "*"} == set(RESERVED_SUFFIXES)


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
