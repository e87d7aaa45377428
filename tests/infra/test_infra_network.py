"""The network without a way out: where GPU instances stand in a stage with `private_network`."""

from __future__ import annotations

import json

import pytest

from infra.model_checks import UnfitModel, check_reach
from offpeak.core.catalogue import Catalogue
from tests.infra.synthesised import Synthesised


def test_a_stage_has_none_unless_it_says_so(prod: Synthesised, local: Synthesised) -> None:
    for stage in (prod, local):
        assert "network" not in stage.templates
        for template in stage.inference.values():
            [model] = template.find_resources("AWS::SageMaker::Model").values()
            assert "VpcConfig" not in model["Properties"]
            assert "OFFPEAK_REACH" not in json.dumps(model)


def test_nothing_in_it_leads_to_the_internet(hardened: Synthesised) -> None:
    template = hardened.templates["network"]
    for kind in ("InternetGateway", "NatGateway", "EgressOnlyInternetGateway", "Route", "EIP"):
        assert not template.find_resources(f"AWS::EC2::{kind}"), kind
    for subnet in template.find_resources("AWS::EC2::Subnet").values():
        assert subnet["Properties"]["MapPublicIpOnLaunch"] is False


def test_its_endpoints_lead_to_this_stages_bucket_weights_and_tables_alone(
    hardened: Synthesised,
) -> None:
    endpoints = hardened.templates["network"].find_resources("AWS::EC2::VPCEndpoint").values()
    policies = {
        "s3" if ".s3" in json.dumps(e["Properties"]["ServiceName"]) else "dynamodb": e["Properties"]
        for e in endpoints
    }
    assert set(policies) == {"s3", "dynamodb"}
    assert all(each["VpcEndpointType"] == "Gateway" for each in policies.values())  # free
    [rows] = policies["dynamodb"]["PolicyDocument"]["Statement"]
    assert rows["Action"] == ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query"]
    assert json.dumps(rows["Resource"]).count("table/offpeak-prod-*") == 1
    objects = policies["s3"]["PolicyDocument"]["Statement"]
    assert not any(statement["Resource"] == "*" for statement in objects)
    weights = json.dumps(objects)
    assert "offpeak-models/phi-4/weights/*" in weights
    assert all("*" not in action for s in objects for action in _list(s["Action"]))


def _list(value: str | list[str]) -> list[str]:
    return value if isinstance(value, list) else [value]


def test_instances_let_nobody_in_and_speak_tls_alone(hardened: Synthesised) -> None:
    template = hardened.templates["network"]
    [group] = template.find_resources("AWS::EC2::SecurityGroup").values()
    assert "SecurityGroupIngress" not in group["Properties"]
    [out] = group["Properties"]["SecurityGroupEgress"]
    assert (out["IpProtocol"], out["FromPort"], out["ToPort"]) == ("tcp", 443, 443)


def test_every_model_stands_in_it_and_fetches_nothing(hardened: Synthesised) -> None:
    assert hardened.inference
    for template in hardened.inference.values():
        [model] = template.find_resources("AWS::SageMaker::Model").values()
        assert len(model["Properties"]["VpcConfig"]["Subnets"]) >= 2  # SageMaker wants two zones
        environment = model["Properties"]["PrimaryContainer"]["Environment"]
        assert environment["OFFPEAK_REACH"] == "nowhere"


def test_weights_that_only_the_hub_has_are_refused_at_synthesis(every_model: Catalogue) -> None:
    of_the_hub = next(m for m in every_model.models if not m.source.startswith("s3://"))
    with pytest.raises(UnfitModel, match="in a private_network nothing can be loaded from the hub"):
        check_reach(of_the_hub)
