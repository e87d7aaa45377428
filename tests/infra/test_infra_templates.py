"""What holds for every template: CloudFormation's own rules, and the emulator's gaps."""

from __future__ import annotations

import pytest

from offpeak.core.catalogue import Catalogue
from tests.infra.cfn_lint import find_faults
from tests.infra.synthesised import Synthesised

# CDK writes out dependencies that a reference implies already.
IGNORED = ["W3005"]
# What the emulator refuses or hangs on, by the beginning of the type.
NOT_EMULATED = (
    "AWS::ApiGateway::Account",
    "AWS::ApplicationAutoScaling::",
    "AWS::CloudFormation::CustomResource",
    "AWS::CloudWatch::CompositeAlarm",
    "AWS::SageMaker::",
    "AWS::WAFv2::",
    "Custom::",
)


@pytest.fixture(params=["prod", "dev", "local", "with_door"])
def stage(request: pytest.FixtureRequest) -> Synthesised:
    synthesised: Synthesised = request.getfixturevalue(request.param)
    return synthesised


def test_a_stage_is_storage_lifecycle_api_and_a_stack_per_pool(
    stage: Synthesised, catalogue: Catalogue
) -> None:
    expected = {"storage", "lifecycle", "api"} | {f"inference-{m.pool}" for m in catalogue.models}
    assert set(stage.templates) - {"monitoring", "door"} == expected
    assert ("door" in stage.templates) is stage.stage.door
    assert ("monitoring" in stage.templates) is not stage.stage.emulated


def test_no_template_breaks_a_rule_of_cloudformation(stage: Synthesised) -> None:
    broken = {
        part: faults
        for part in stage.templates
        if (faults := find_faults(stage.json(part), ignore=IGNORED))
    }
    assert broken == {}


def test_the_local_control_plane_has_only_what_the_emulator_has(local: Synthesised) -> None:
    for part in ("storage", "lifecycle", "api"):
        types = {resource["Type"] for resource in local.json(part)["Resources"].values()}
        assert not [kind for kind in types if kind.startswith(NOT_EMULATED)], part


def test_everything_is_tagged_with_its_stage(prod: Synthesised) -> None:
    for table in prod.templates["storage"].find_resources("AWS::DynamoDB::Table").values():
        assert {"Key": "offpeak:stage", "Value": "prod"} in table["Properties"]["Tags"]


def test_every_log_group_forgets(stage: Synthesised) -> None:
    for part, template in stage.templates.items():
        for name, group in template.find_resources("AWS::Logs::LogGroup").items():
            assert group["Properties"]["RetentionInDays"], (part, name)


def test_the_log_of_an_endpoint_is_there_before_sagemaker_would_make_it(prod: Synthesised) -> None:
    for part, template in prod.inference.items():
        [(name, group)] = template.find_resources("AWS::Logs::LogGroup").items()
        [endpoint] = template.find_resources("AWS::SageMaker::Endpoint").values()
        endpoint_name = endpoint["Properties"]["EndpointName"]
        assert group["Properties"]["LogGroupName"] == f"/aws/sagemaker/Endpoints/{endpoint_name}"
        assert name in endpoint["DependsOn"], part


def test_api_gateways_own_log_is_ours_to_forget(prod: Synthesised) -> None:
    template = prod.json("api")["Resources"]
    [name] = [
        name
        for name, resource in template.items()
        if "API-Gateway-Execution-Logs_" in str(resource.get("Properties", {}).get("LogGroupName"))
    ]
    [stage] = [r for r in template.values() if r["Type"] == "AWS::ApiGateway::Stage"]
    assert name in stage["DependsOn"]
