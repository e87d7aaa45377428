"""Least privilege: what no function may do, why each wildcard is there, and that rights follow from the handlers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from app import ROOT
from infra.access import Access
from infra.roles import ACCESS
from tests.infra.role_rights import REASONS, UNSCOPED, Right, policies, render, rights
from tests.infra.synthesised import Synthesised


def _writes(access: Access) -> bool:
    return bool(access.writes_objects or access.deletes_objects or access.writes_beside_drops)


# A port, and the rights of which it needs at least one.
NEEDS = {
    "accounts": lambda a: "accounts" in a.reads,
    "files": lambda a: "files" in a.reads,
    "batches": lambda a: "batches" in a.reads,
    "runs": lambda a: "runs" in a.reads,
    "shards": lambda a: "shards" in a.reads,
    "requests": lambda a: "requests" in {*a.reads, *a.updates},
    "groups": lambda a: "groups" in a.reads,
    "gatherings": lambda a: "gatherings" in a.reads,
    "request_queue": lambda a: a.sends_requests,
    "group_checks": lambda a: a.asks_groups,
    "ledger": lambda a: "ledger" in a.reads,
    "idempotency": lambda a: "idempotency" in a.writes,
    "throttles": lambda a: "throttles" in a.updates,
    "changes": lambda a: a.writes,
    "reader": lambda a: a.reads_objects,
    "writer": _writes,
    "multipart": _writes,
    "presigner": lambda a: a.reads_objects and a.writes_objects,
    "workflows": lambda a: a.starts_batches or a.answers_batches or a.redrives_batches,
    "dispatches": lambda a: a.asks_dispatch,
    "drops": lambda a: a.puts_back_drops,
    "endpoints": lambda a: a.invokes_endpoints,
    "announcements": lambda a: a.announces,
    "metrics": lambda a: a.publishes_metrics,
    "webhooks": lambda a: "webhooks" in a.reads,
    "deliveries": lambda a: "deliveries" in a.reads,
    "callbacks": lambda a: a.asks_callbacks,
    "secrets": lambda a: a.signs,
    "key_hashes": lambda a: a.knows_keys,
    "destinations": lambda a: a.calls_out,
    "tokenizers": lambda a: a.counts_tokens and "tokenizers/" in a.reads_objects,
}
RIGHTLESS = {"clock", "catalogue"}


@dataclass(frozen=True)
class Statement:
    policy: str
    actions: tuple[str, ...]
    resource: str


def _statements(stage: Synthesised) -> Iterator[Statement]:
    """One per resource, of the roles' policies. References are written `<Logical.Attribute>`."""
    for template in stage.templates.values():
        for name, policy in policies(template):
            for statement in policy["Properties"]["PolicyDocument"]["Statement"]:
                assert statement["Effect"] == "Allow"
                actions, resources = statement["Action"], statement["Resource"]
                for resource in resources if isinstance(resources, list) else [resources]:
                    yield Statement(
                        name,
                        (actions,) if isinstance(actions, str) else tuple(actions),
                        _flat(resource),
                    )


def _flat(value: Any) -> str:
    if isinstance(value, str):
        return value
    [(function, argument)] = value.items()
    if function == "Fn::Join":
        return str(argument[0]).join(_flat(part) for part in argument[1])
    return f"<{argument if isinstance(argument, str) else '.'.join(argument)}>".replace(
        ".Arn>", ".Arn"
    )


def test_no_action_is_a_wildcard(prod: Synthesised) -> None:
    assert [s for s in _statements(prod) if any("*" in action for action in s.actions)] == []


def test_every_wildcard_has_its_reason(hardened: Synthesised) -> None:
    """The table would not be written otherwise."""
    assert "may" in render(rights(hardened))


def test_a_wildcard_without_a_reason_fails(hardened: Synthesised) -> None:
    right = Right("api", "Api", ("s3:GetObject",), ("arn:aws:s3:::bucket/*",), "")
    with pytest.raises(LookupError, match="Api may s3:GetObject on arn:aws:s3:::bucket/\\*: why"):
        render([*rights(hardened), right])
    with pytest.raises(LookupError, match="why"):
        render([Right("api", "Api", ("s3:*",), ("arn:aws:s3:::bucket/files/*",), "")])


def test_every_reason_is_still_needed(hardened: Synthesised) -> None:
    found = rights(hardened)
    resources = [resource for right in found for resource in right.resources]
    actions = {action for right in found for action in right.actions if "*" in right.resources}
    assert [end for end in REASONS if not any(r.endswith(end) for r in resources)] == []
    assert set(UNSCOPED) - actions == set()


def test_streams_are_the_only_bare_wildcards_of_a_log_group(prod: Synthesised) -> None:
    for s in _statements(prod):
        if s.resource.endswith(":*") and not s.resource.endswith((".Arn:*", "-process-batch:*")):
            assert ":log-group:/aws/sagemaker/Endpoints/offpeak-prod-" in s.resource


def test_roles_have_no_managed_policies_but_the_gateways_log_role(prod: Synthesised) -> None:
    managed = {
        name: json.dumps(role["Properties"]["ManagedPolicyArns"])
        for template in prod.templates.values()
        for name, role in template.find_resources("AWS::IAM::Role").items()
        if "ManagedPolicyArns" in role["Properties"]
    }
    assert len(managed) == 1
    assert "AmazonAPIGatewayPushToCloudWatchLogs" in next(iter(managed.values()))


def test_only_requests_and_throttles_are_updated_unread(prod: Synthesised) -> None:
    def updated(action: str) -> set[str]:
        found = {s.resource for s in _statements(prod) if action in s.actions}
        return {re.sub(r".*?(Requests|Throttles).*", r"\1", each) for each in found}

    assert updated("dynamodb:UpdateItem") == {"Requests", "Throttles"}
    assert updated("dynamodb:BatchGetItem") == {"Requests"}


def test_nobody_scans_or_drops_a_table(prod: Synthesised) -> None:
    actions = {a for s in _statements(prod) for a in s.actions if a.startswith("dynamodb:")}
    assert actions == {
        "dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:DeleteItem",
        "dynamodb:UpdateItem", "dynamodb:BatchGetItem",
    }  # fmt: skip


def test_a_worker_reads_inputs_and_never_results(prod: Synthesised) -> None:
    mine = [s for s in _statements(prod) if s.policy.startswith("PoolRole")]
    objects = {
        (action, s.resource.rpartition(".Arn")[2] or re.sub(r".*>", "", s.resource))
        for s in mine
        for action in s.actions
        if action.endswith("Object")
    }
    assert {action for action, _ in objects} == {"s3:GetObject", "s3:PutObject"}
    assert not [s for s in mine if "/results/" in s.resource]
    tables = {s.resource for s in mine if "dynamodb:PutItem" in s.actions}
    assert len(tables) == 1
    assert "Shards" in next(iter(tables))


def test_only_the_dispatcher_invokes_and_only_our_endpoints(prod: Synthesised) -> None:
    invoking = [s for s in _statements(prod) if "sagemaker:InvokeEndpointAsync" in s.actions]
    assert {s.policy.partition("Role")[0] for s in invoking} == {"LifecycleDispatchShards"}
    assert {s.resource.rpartition("/")[2] for s in invoking} == {
        "offpeak-prod-qwen2-5-7b-instruct", "offpeak-prod-phi-4",
        "offpeak-prod-qwen3-embedding-0-6b",
    }  # fmt: skip


def test_metrics_are_put_in_our_namespace_only(prod: Synthesised) -> None:
    putting = [
        statement
        for template in prod.templates.values()
        for _, policy in policies(template)
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
        if "cloudwatch:PutMetricData" in statement["Action"]
    ]
    ours = {"StringEquals": {"cloudwatch:namespace": "Offpeak"}}
    assert len(putting) == sum(access.publishes_metrics for access in ACCESS.values())
    assert all(statement["Condition"] == ours for statement in putting)


def _bound_ports(folder: str) -> set[str]:
    """The ports that a function's modules take from `Aws`, or from the API's `Ports`."""
    text = "".join(path.read_text() for path in (ROOT / "lambdas" / folder).rglob("*.py"))
    return set(re.findall(r"\b(?:aws|ports)\.([a-z_]+)\b", text)) & (set(NEEDS) | RIGHTLESS)


@pytest.mark.parametrize("folder", ACCESS)
def test_a_function_may_use_the_ports_that_its_handler_binds_and_no_others(folder: str) -> None:
    access: Access = ACCESS[folder]
    bound = _bound_ports(folder)
    assert bound, f"lambdas/{folder} binds no port"
    needs: Mapping[str, Any] = NEEDS
    assert [port for port in bound - RIGHTLESS if not needs[port](access)] == []
    assert [
        port
        for port in set(NEEDS) - bound - {"multipart", "presigner", "writer", "reader"}
        if needs[port](access)
    ] == []
    assert bool({"reader"} & bound) is bool(access.reads_objects)
    assert bool({"writer", "multipart"} & bound) is _writes(access)


# Where each function that binds `multipart` puts objects of any size; `expire_files` only aborts some.
LARGE_OBJECTS = {
    "api": "files/",
    "validate_range": "work/",
    "plan_shards": "work/",
    "reorder_shards": "work/",
    "finalize_batch": "results/",
    "assemble_results": "results/",
    "ingest_drop": "files/",
    "finalize_group": "work/",
}


@pytest.mark.parametrize("folder", ACCESS)
def test_who_completes_a_multipart_upload_may_look_at_what_came_of_it(folder: str) -> None:
    bound = "multipart" in _bound_ports(folder) and folder != "expire_files"
    if folder == "deliver_drop":  # it writes in the drop folder alone, and reads all of it
        assert "drop/" in ACCESS[folder].reads_objects
        return
    assert bound is (folder in LARGE_OBJECTS)
    if folder in LARGE_OBJECTS:
        assert LARGE_OBJECTS[folder] in ACCESS[folder].writes_objects
        assert LARGE_OBJECTS[folder] in ACCESS[folder].reads_objects


@pytest.mark.parametrize(
    ("secret", "readers"),
    [("SigningSecret", {"Api", "LifecycleDeliverCallbacks"}), ("KeyPepper", {"Api"})],
)
def test_who_signs_reads_what_signs_who_knows_keys_their_pepper_and_nobody_more(
    prod: Synthesised, secret: str, readers: set[str]
) -> None:
    reading = [s for s in _statements(prod) if any("secretsmanager" in a for a in s.actions)]
    assert {s.actions for s in reading} == {("secretsmanager:GetSecretValue",)}
    assert {
        s.policy.partition("FunctionRole")[0].partition("Role")[0]
        for s in reading
        if secret in s.resource
    } == readers


def test_the_local_cloud_alone_sends_to_itself(
    prod: Synthesised, dev: Synthesised, local: Synthesised
) -> None:
    for stage, reach in ((prod, "public"), (dev, "public"), (local, "loopback")):
        found = {
            variables["OFFPEAK_REACH"]
            for template in stage.templates.values()
            for function in template.find_resources("AWS::Lambda::Function").values()
            if "OFFPEAK_REACH" in (variables := function["Properties"]["Environment"]["Variables"])
        }
        assert found == {reach}
