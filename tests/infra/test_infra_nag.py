"""cdk-nag's AwsSolutions rules: every finding is answered for here, and every answer has its finding."""

from __future__ import annotations

import json
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_s3 as s3
from cdk_nag import AwsSolutionsChecks
from constructs import Construct

from app import add_stacks
from infra.bundles import Bundles
from offpeak.core.catalogue import Catalogue
from tests.infra.hardened_stage import HARDENED_STAGE, with_staged_weights
from tests.infra.synthesised import CONTEXT

# Rule, and construct path after the stage's prefix → why it stands.
ACCEPTED = {
    ("AwsSolutions-IAM5[[]*", "*/DefaultPolicy/Resource"): (
        "each wildcard has its reason in test_infra_rights.py"
    ),
    ("AwsSolutions-IAM4[[]*AmazonAPIGatewayPushToCloudWatchLogs]", "api/*/CloudWatchRole/Resource"): (
        "the account's one role for API Gateway's logs; AWS names this policy for it"
    ),
    ("AwsSolutions-L1", "*/Function/Resource"): (
        "the runtime follows the locked dependencies, which are bundled for Python 3.13"
    ),
    ("AwsSolutions-SF1", "lifecycle/Lifecycle/StateMachine/Resource"): (
        "history is kept 90 days by Step Functions itself; a log of ALL events would cost more than the states"
    ),
    ("AwsSolutions-APIG2", "api/Api/RestApi/Resource"): (
        "the function checks bodies, and says of each fault what OpenAI's API says"
    ),
    ("AwsSolutions-APIG3", "api/Api/RestApi/DeploymentStage.prod/Resource"): (
        "a stage's `waf` puts a web ACL before it, in a stack of its own, which the rule doesn't look into"
    ),
    ("AwsSolutions-APIG4", "api/Api/RestApi/*/ANY/Resource"): (
        "the function checks API keys: a gateway authorizer can't take either of two headers"
    ),
    ("AwsSolutions-COG4", "api/Api/RestApi/*/ANY/Resource"): (
        "API keys, as every OpenAI SDK sends them; no Cognito"
    ),
    ("AwsSolutions-VPC7", "network/Network/Vpc/Resource"): (
        "nothing leads out of it but to S3 and DynamoDB, and S3 logs who asked for what"
    ),
    ("AwsSolutions-VPC7", "door/Door/Network/Resource"): (
        "the door logs each request; who connects and is refused is the load balancer's to know"
    ),
    ("AwsSolutions-EC23", "door/Door/Outside/Resource"): (
        "callers come from anywhere, with keys; 443 is all that is open"
    ),
    ("AwsSolutions-ELB2", "door/Door/LoadBalancer/Resource"): (
        "its access log names callers' addresses and costs a bucket; the door logs each request"
    ),
    ("AwsSolutions-ECS2", "door/Door/Task/Resource"): (
        "addresses of tables and of the bucket; no secret is among them"
    ),
    ("AwsSolutions-ECS4", "door/Door/Cluster/Resource"): (
        "Container Insights costs more than the task; ECS's own metrics scale it"
    ),
    ("AwsSolutions-SMG4", "storage/Storage/SigningSecret/Resource"): (
        "every receiver's secret follows from it: accounts rotate their own, each by itself"
    ),
    ("AwsSolutions-SMG4", "storage/Storage/KeyPepper/Resource"): (
        "every API key is known by a hash with it; keys themselves expire and are rotated"
    ),
}  # fmt: skip


def _findings(app: App, out: Path) -> set[tuple[str, str]]:
    """Rule and construct path of all that the rules say of an app, which the plugin ends with an error."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    with pytest.raises(RuntimeError, match=r"^ValidationFailed"):
        app.synth()
    reports = json.loads((out / "validation-report.json").read_text())["pluginReports"]
    return {
        (violation["ruleName"], construct["constructPath"].removeprefix("offpeak-prod-"))
        for report in reports
        for violation in report["violations"]
        for construct in violation["violatingConstructs"]
    }


@pytest.fixture(scope="module")
def findings(
    tmp_path_factory: pytest.TempPathFactory, bundles: Bundles, catalogue: Catalogue
) -> set[tuple[str, str]]:
    out: Path = tmp_path_factory.mktemp("nag")
    app = App(context=dict(CONTEXT), outdir=str(out))
    models = with_staged_weights(catalogue).models
    add_stacks(app, stage=HARDENED_STAGE, models=models, bundles=bundles)
    return _findings(app, out)


def _answered_by(finding: tuple[str, str]) -> list[tuple[str, str]]:
    return [
        answer
        for answer in ACCEPTED
        if all(fnmatchcase(found, pattern) for found, pattern in zip(finding, answer, strict=True))
    ]


def test_no_finding_is_without_an_answer(findings: set[tuple[str, str]]) -> None:
    assert sorted(finding for finding in findings if not _answered_by(finding)) == []


def test_no_answer_is_without_a_finding(findings: set[tuple[str, str]]) -> None:
    used = {answer for finding in findings for answer in _answered_by(finding)}
    assert set(ACCEPTED) - used == set()


def test_a_new_finding_has_no_answer_yet(tmp_path: Path) -> None:
    app = App(context=dict(CONTEXT), outdir=str(tmp_path))
    stack = Stack(app, "offpeak-prod-storage")
    s3.Bucket(Construct(stack, "Storage"), "Another")  # neither TLS-only nor with an access log
    open_questions = {finding for finding in _findings(app, tmp_path) if not _answered_by(finding)}
    assert open_questions == {
        ("AwsSolutions-S1", "storage/Storage/Another/Resource"),
        ("AwsSolutions-S10", "storage/Storage/Another/Resource"),
    }
