"""The door's stack: one host name on TLS, tasks that only its load balancer reaches, and times that fit one another."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app import ContextError, choose_door, read_pin
from containers.door.app import HEALTH_PATH
from containers.door.settings import DoorSettings
from infra.bundles import Bundles
from infra.roles import DOOR_ACCESS
from infra.stages_file import StageError, parse_stages
from offpeak.core.base_image import DOOR_PIN
from offpeak.core.catalogue import Catalogue
from tests.infra.door_stage import DOOR_STAGE
from tests.infra.synthesised import STAGES, Synthesised, synthesise
from tests.infra.test_infra_rights import NEEDS, RIGHTLESS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def staged(with_door: Synthesised) -> Synthesised:
    return with_door


def only(staged: Synthesised, kind: str) -> Mapping[str, Any]:
    [found] = staged.templates["door"].find_resources(kind).values()
    properties: Mapping[str, Any] = found["Properties"]
    return properties


def attributes(properties: Mapping[str, Any], name: str) -> dict[str, str]:
    return {each["Key"]: each["Value"] for each in properties[name]}


def variables(staged: Synthesised) -> dict[str, Any]:
    [container] = only(staged, "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    return {each["Name"]: each["Value"] for each in container["Environment"]}


def test_a_stage_has_no_door_unless_it_says_so(prod: Synthesised, dev: Synthesised) -> None:
    for stage in (prod, dev):
        assert "door" not in stage.templates


def test_the_image_is_built_on_the_pinned_base(staged: Synthesised) -> None:
    [path] = Path(staged.app.synth().directory).glob("*-door.assets.json")
    [image] = json.loads(path.read_text())["dockerImages"].values()
    assert image["source"]["dockerBuildArgs"] == {"BASE_IMAGE": read_pin(DOOR_PIN).reference}


def test_the_context_goes_over_the_stage() -> None:
    assert choose_door(DOOR_STAGE, "false").door is False
    assert choose_door(replace(DOOR_STAGE, door=False), "true").door is True
    assert choose_door(DOOR_STAGE, "") == DOOR_STAGE
    with pytest.raises(ContextError, match="true or false"):
        choose_door(DOOR_STAGE, "yes")


def test_a_door_without_a_certificate_is_refused_in_words() -> None:
    with pytest.raises(StageError, match="in the clear"):
        choose_door(STAGES["dev"], "true")
    with pytest.raises(StageError, match="in the clear"):
        parse_stages("[dev]\ndoor = true\n")


def test_the_host_name_is_the_doors_alone(staged: Synthesised) -> None:
    assert staged.templates["api"].find_resources("AWS::ApiGateway::DomainName") == {}
    outputs = staged.json("api")["Outputs"]
    assert outputs["BaseUrl"]["Value"] == f"https://{DOOR_STAGE.domain_name}/"
    assert "DomainTarget" in staged.json("door")["Outputs"]


def test_it_listens_on_tls_alone(staged: Synthesised) -> None:
    listener = only(staged, "AWS::ElasticLoadBalancingV2::Listener")
    assert (listener["Port"], listener["Protocol"]) == (443, "HTTPS")
    assert listener["Certificates"] == [{"CertificateArn": DOOR_STAGE.certificate_arn}]
    assert "TLS13" in listener["SslPolicy"]


def test_callers_reach_the_balancer_and_the_balancer_alone_the_tasks(staged: Synthesised) -> None:
    template = staged.templates["door"]
    groups = template.find_resources("AWS::EC2::SecurityGroup").values()
    opened = [
        (rule["CidrIp"], rule["FromPort"], rule["ToPort"])
        for group in groups
        for rule in group["Properties"].get("SecurityGroupIngress", [])
    ]
    assert opened == [("0.0.0.0/0", 443, 443)]
    inward = template.find_resources("AWS::EC2::SecurityGroupIngress").values()
    assert all("SourceSecurityGroupId" in rule["Properties"] for rule in inward)
    assert {rule["Properties"]["FromPort"] for rule in inward} == {8080}


def test_there_is_no_nat_gateway_and_s3_is_reached_within_the_network(staged: Synthesised) -> None:
    template = staged.templates["door"]
    assert template.find_resources("AWS::EC2::NatGateway") == {}
    ends = template.find_resources("AWS::EC2::VPCEndpoint").values()
    assert {end["Properties"]["VpcEndpointType"] for end in ends} == {"Gateway"}
    named = json.dumps([end["Properties"]["ServiceName"] for end in ends])
    assert ".s3" in named
    assert ".dynamodb" in named


def test_times_fit_one_another(staged: Synthesised) -> None:
    balancer = attributes(
        only(staged, "AWS::ElasticLoadBalancingV2::LoadBalancer"), "LoadBalancerAttributes"
    )
    idle = int(balancer["idle_timeout.timeout_seconds"])
    environment = {**variables(staged), "OFFPEAK_GATEWAY_URL": "https://gateway"}
    settings = DoorSettings.from_environment(environment)
    assert settings.keep_alive_seconds > idle, "else the balancer sends into a connection we close"
    assert settings.stall_seconds < idle, "else the balancer answers 504 in our place"
    [container] = only(staged, "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    assert settings.drain_seconds + 15 < container["StopTimeout"] <= 120
    group = only(staged, "AWS::ElasticLoadBalancingV2::TargetGroup")
    drain = attributes(group, "TargetGroupAttributes")["deregistration_delay.timeout_seconds"]
    assert 600 <= int(drain) <= 3_600
    assert group["HealthCheckPath"] == HEALTH_PATH


def test_uploads_leave_memory_for_the_rest(staged: Synthesised) -> None:
    task = only(staged, "AWS::ECS::TaskDefinition")
    held = int(variables(staged)["OFFPEAK_BYTES_HELD_MAX"])
    # And a quarter as much for chunked bodies on their way to the gateway.
    assert held * 1.25 + 300 * 2**20 < int(task["Memory"]) * 2**20


def test_it_grows_to_what_the_stage_says(bundles: Bundles, catalogue: Catalogue) -> None:
    stage = replace(DOOR_STAGE, door_tasks_max=7)
    scaled = synthesise(stage, bundles, Catalogue(catalogue.models[:1]))
    target = only(scaled, "AWS::ApplicationAutoScaling::ScalableTarget")
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 7)


def test_a_deployment_that_fails_goes_back(staged: Synthesised) -> None:
    service = only(staged, "AWS::ECS::Service")
    told = service["DeploymentConfiguration"]
    assert told["DeploymentCircuitBreaker"] == {"Enable": True, "Rollback": True}
    assert "DesiredCount" not in service, "an update would set back what scaling has chosen"
    assert (told["MinimumHealthyPercent"], told["MaximumPercent"]) == (100, 200)


def test_it_may_use_the_ports_that_it_binds_and_no_others(staged: Synthesised) -> None:
    text = "".join(path.read_text() for path in (ROOT / "containers/door").glob("*.py"))
    bound = set(re.findall(r"\bports\.([a-z_]+)\b", text)) & (set(NEEDS) | RIGHTLESS)
    needs: Mapping[str, Any] = NEEDS
    assert [port for port in bound - RIGHTLESS if not needs[port](DOOR_ACCESS)] == []
    assert [port for port in set(NEEDS) - bound - {"presigner"} if needs[port](DOOR_ACCESS)] == []
    tables = {name for name in variables(staged) if name.startswith("OFFPEAK_TABLE_")}
    assert tables == {"OFFPEAK_TABLE_ACCOUNTS", "OFFPEAK_TABLE_FILES", "OFFPEAK_TABLE_IDEMPOTENCY"}


def test_its_role_reaches_files_and_parts_alone(staged: Synthesised) -> None:
    policies = staged.templates["door"].find_resources("AWS::IAM::Policy")
    [mine] = [p["Properties"] for name, p in policies.items() if name.startswith("DoorRole")]
    statements = mine["PolicyDocument"]["Statement"]
    objects = json.dumps([s["Resource"] for s in statements if "s3:PutObject" in s["Action"]])
    assert "/files/*" in objects
    assert "/uploads/*" in objects
    assert not any(other in objects for other in ("/results/", "/work/", "/drop/"))
    actions = {a for s in statements for a in [s["Action"]] if isinstance(a, str)} | {
        a for s in statements if isinstance(s["Action"], list) for a in s["Action"]
    }
    # The stage's key it may use through those services only: tests/infra/test_infra_encryption.py.
    assert {action for action in actions if not action.startswith("kms:")} == {
        "dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "s3:AbortMultipartUpload",
        "s3:DeleteObject", "s3:GetObject", "s3:ListBucket", "s3:PutObject",
        "secretsmanager:GetSecretValue",
    }  # fmt: skip
    read = [s["Resource"] for s in statements if s["Action"] == "secretsmanager:GetSecretValue"]
    assert "KeyPepper" in json.dumps(read)
    assert "SigningSecret" not in json.dumps(read)


def test_the_container_writes_nowhere_but_to_its_log(staged: Synthesised) -> None:
    [container] = only(staged, "AWS::ECS::TaskDefinition")["ContainerDefinitions"]
    assert container["ReadonlyRootFilesystem"] is True
    assert container["LogConfiguration"]["LogDriver"] == "awslogs"
    group = only(staged, "AWS::Logs::LogGroup")
    assert group["RetentionInDays"] == DOOR_STAGE.log_retention_days


def test_what_a_vanished_task_leaves_in_s3_is_given_up_by_the_bucket(staged: Synthesised) -> None:
    [bucket] = [
        b["Properties"]
        for b in staged.templates["storage"].find_resources("AWS::S3::Bucket").values()
        if "LifecycleConfiguration" in b["Properties"] and "logs" not in json.dumps(b["Properties"]["BucketName"])
    ]  # fmt: skip
    rules = bucket["LifecycleConfiguration"]["Rules"]
    assert any(
        rule.get("AbortIncompleteMultipartUpload") == {"DaysAfterInitiation": 2}
        and "Prefix" not in rule
        for rule in rules
    )
