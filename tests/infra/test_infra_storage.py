from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest

from infra.bundles import Bundles
from offpeak.core.catalogue import Catalogue
from offpeak.core.queued_run import QueuedRun
from tests.infra.synthesised import STAGES, Synthesised, synthesise

Keys = list[tuple[str, str, str]]
# name: (key, indexes, ttl). Written out, since rows that are stored outlive the code that stored them.
TABLES: Mapping[str, tuple[Keys, Mapping[str, Keys], bool]] = {
    "accounts": (
        [("pk", "HASH", "S")],
        {"keys": [("account_id", "HASH", "S"), ("id", "RANGE", "S")]},
        False,
    ),
    "files": (
        [("account_id", "HASH", "S"), ("id", "RANGE", "S")],
        {"expiring": [("expiring", "HASH", "S"), ("expires_at", "RANGE", "N")]},
        True,
    ),
    "batches": (
        [("account_id", "HASH", "S"), ("id", "RANGE", "S")],
        {"open": [("open", "HASH", "S"), ("open_key", "RANGE", "S")]},
        False,
    ),
    "runs": (
        [("batch_id", "HASH", "S"), ("number", "RANGE", "N")],
        {"queue": [("queue_pool", "HASH", "S"), ("queue_key", "RANGE", "S")]},
        False,
    ),
    "shards": (
        [("run_id", "HASH", "S"), ("number", "RANGE", "N")],
        {"open": [("open_pool", "HASH", "S"), ("shard_id", "RANGE", "S")]},
        False,
    ),
    "requests": (
        [("id", "HASH", "S")],
        {
            "open_members": [("open_group", "HASH", "S"), ("id", "RANGE", "S")],
            "open_callbacks": [("open_callback", "HASH", "S"), ("expires_at", "RANGE", "N")],
        },
        True,
    ),
    "groups": (
        [("account_id", "HASH", "S"), ("id", "RANGE", "S")],
        {"open": [("open", "HASH", "S"), ("open_key", "RANGE", "S")]},
        True,
    ),
    "gatherings": (
        [("lane_id", "HASH", "S"), ("id", "RANGE", "S")],
        {"open": [("open", "HASH", "S"), ("due_at", "RANGE", "N")]},
        True,
    ),
    "ledger": (
        [("account_id", "HASH", "S"), ("id", "RANGE", "S")],
        {"by_time": [("account_id", "HASH", "S"), ("position", "RANGE", "S")]},
        False,
    ),
    "audit": ([("trail", "HASH", "S"), ("id", "RANGE", "S")], {}, False),
    "idempotency": ([("pk", "HASH", "S")], {}, True),
    "throttles": ([("id", "HASH", "S")], {}, True),
    "pools": ([("id", "HASH", "S")], {}, False),
    "webhooks": ([("account_id", "HASH", "S"), ("id", "RANGE", "S")], {}, False),
    "deliveries": (
        [("destination_id", "HASH", "S"), ("id", "RANGE", "S")],
        {"due": [("due_bucket", "HASH", "S"), ("due_at", "RANGE", "N")]},
        True,
    ),
}


# What a queued run is made of, but for the table's key: `batch_id` and `number`.
PROJECTIONS = {
    ("runs", "queue"): {
        "ProjectionType": "INCLUDE",
        "NonKeyAttributes": [
            field.name for field in fields(QueuedRun) if field.name not in ("batch_id", "number")
        ],
    }
}


def _tables(stage: Synthesised) -> Mapping[str, Mapping[str, Any]]:
    found = stage.templates["storage"].find_resources("AWS::DynamoDB::Table").values()
    return {table["Properties"]["TableName"]: table for table in found}


def _bucket(stage: Synthesised) -> Mapping[str, Any]:
    """The one that holds batches, not the one that holds its access log."""
    found = stage.templates["storage"].find_resources("AWS::S3::Bucket").values()
    [bucket] = [b for b in found if "-logs" not in str(b["Properties"]["BucketName"])]
    return bucket


def test_every_table_has_the_keys_and_indexes_that_the_adapters_use(local: Synthesised) -> None:
    tables = _tables(local)
    assert set(tables) == {f"offpeak-local-{name}" for name in TABLES}
    for name, (key, indexes, expires) in TABLES.items():
        properties = tables[f"offpeak-local-{name}"]["Properties"]
        types = {a["AttributeName"]: a["AttributeType"] for a in properties["AttributeDefinitions"]}

        def keys(schema: list[dict[str, str]], types: dict[str, str] = types) -> Keys:
            return [(k["AttributeName"], k["KeyType"], types[k["AttributeName"]]) for k in schema]

        found = {i["IndexName"]: i for i in properties.get("GlobalSecondaryIndexes", [])}
        assert keys(properties["KeySchema"]) == key
        assert {index: keys(i["KeySchema"]) for index, i in found.items()} == indexes
        assert all(
            i["Projection"] == PROJECTIONS.get((name, index), {"ProjectionType": "ALL"})
            for index, i in found.items()
        )
        assert (properties.get("TimeToLiveSpecification", {}).get("AttributeName") == "ttl") is (
            expires
        )
        assert properties["BillingMode"] == "PAY_PER_REQUEST"


@pytest.mark.parametrize("name", ["prod", "dev"])
def test_tables_outlive_their_stack_and_can_be_set_back_to_any_second(
    name: str, request: pytest.FixtureRequest
) -> None:
    for table in _tables(request.getfixturevalue(name)).values():
        assert table["DeletionPolicy"] == table["UpdateReplacePolicy"] == "Retain"
        assert table["Properties"]["DeletionProtectionEnabled"] is True
        recovery = table["Properties"]["PointInTimeRecoverySpecification"]
        assert recovery == {"PointInTimeRecoveryEnabled": True}


def test_tables_go_with_their_stack_where_the_stage_says_so(
    bundles: Bundles, catalogue: Catalogue
) -> None:
    stage = replace(STAGES["dev"], keep_data=False)
    for table in _tables(synthesise(stage, bundles, catalogue)).values():
        assert table["DeletionPolicy"] == "Delete"
        assert table["Properties"]["DeletionProtectionEnabled"] is False
        assert "PointInTimeRecoverySpecification" in table["Properties"]


def test_the_bucket_is_private_encrypted_and_unversioned(prod: Synthesised) -> None:
    bucket = _bucket(prod)
    properties = bucket["Properties"]
    assert bucket["DeletionPolicy"] == "Retain"
    assert set(properties["PublicAccessBlockConfiguration"].values()) == {True}
    assert "BucketEncryption" in properties
    assert "VersioningConfiguration" not in properties


def test_the_bucket_forgets_work_parts_and_abandoned_uploads(local: Synthesised) -> None:
    rules = _bucket(local)["Properties"]["LifecycleConfiguration"]["Rules"]
    assert {r["Prefix"]: r["ExpirationInDays"] for r in rules if "ExpirationInDays" in r} == {
        "work/": 14,
        "errors/": 14,
        "drop/": 30,
        "uploads/": 2,
    }
    assert [
        r["AbortIncompleteMultipartUpload"] for r in rules if "AbortIncompleteMultipartUpload" in r
    ] == [{"DaysAfterInitiation": 2}]


def test_only_tls_reaches_the_buckets_except_on_the_emulator(
    prod: Synthesised, local: Synthesised
) -> None:
    policies = prod.templates["storage"].find_resources("AWS::S3::BucketPolicy").values()
    assert len(policies) == 2
    for policy in policies:
        assert any(
            s["Effect"] == "Deny"
            and s.get("Condition") == {"Bool": {"aws:SecureTransport": "false"}}
            for s in policy["Properties"]["PolicyDocument"]["Statement"]
        )
    assert not local.templates["storage"].find_resources("AWS::S3::BucketPolicy")


def test_what_signs_webhooks_and_the_pepper_are_generated_and_kept_with_the_data(
    prod: Synthesised, local: Synthesised
) -> None:
    for stage, fate in ((prod, "Retain"), (local, "Delete")):
        secrets = stage.templates["storage"].find_resources("AWS::SecretsManager::Secret")
        assert len(secrets) == 2
        for secret in secrets.values():
            assert secret["DeletionPolicy"] == fate
            assert secret["Properties"]["GenerateSecretString"]["PasswordLength"] == 64
            assert "SecretString" not in secret["Properties"]
