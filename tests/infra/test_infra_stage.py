"""`stages.toml`: what a stage may say of itself, and what is said of a wrong one."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs

from infra.bundles import Bundles
from infra.roles import ACCESS
from infra.stage import LOCAL, LOCAL_STAGE, Stage
from infra.stages_file import StageError, parse_stages, stage_named
from offpeak.core.catalogue import Catalogue
from offpeak.local.emulator import ACCOUNT_ID, REGION
from tests.infra.cfn_lint import find_faults
from tests.infra.synthesised import STAGES, synthesise

ARN = "arn:aws:acm:eu-west-1:123456789012:certificate/0f"
FULL = f"""
[eu]
account = "123456789012"
region = "eu-west-1"
keep_data = false
log_retention_days = 365
requests_per_second = 5
burst = 7
domain_name = "batches.example.com"
certificate_arn = "{ARN}"
alarm_email = "oncall@example.com"
runbook_url = "https://example.com/runbook"
slack_seconds_min = 600
budget_usd_per_month = 900
gpu_hours_per_day_max = 24
door_tasks_max = 2
drop_days = 30
customer_key = false
waf = true
waf_requests_per_ip = 100
private_network = true
electricity_maps_secret = "offpeak/electricity-maps"
watttime_secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:watttime-Ab12Cd"
"""


def test_a_stage_is_added_without_a_line_of_python() -> None:
    stage = stage_named("eu", parse_stages(FULL))
    assert stage.named("storage") == "offpeak-eu-storage"
    assert stage.removal_policy is RemovalPolicy.DESTROY
    assert stage.log_retention is logs.RetentionDays.ONE_YEAR
    assert (stage.requests_per_second, stage.burst) == (5, 7)
    assert stage.environment is not None
    assert stage.environment.account == "123456789012"


def test_every_field_may_be_left_out_and_data_are_kept_then() -> None:
    stage = parse_stages("[new]")["new"]
    assert stage == Stage(name="new")
    assert stage.keep_data
    assert stage.removal_policy is RemovalPolicy.RETAIN
    assert stage.environment is None


def test_every_field_of_a_stage_can_be_set() -> None:
    written = {line.split(" = ")[0] for line in FULL.splitlines() if " = " in line}
    assert written | {"alarm_topic_arn", "door", "drop_producers", "plan_weights"} == {
        f.name for f in fields(Stage)
    } - {
        "name",
        "emulated",
        "slot_seconds",  # another one compresses the local cloud's clock
    }


def test_the_local_stage_is_where_the_emulator_is() -> None:
    """Its further regions know home by these; its own stacks name neither."""
    assert (LOCAL_STAGE.account, LOCAL_STAGE.region) == (ACCOUNT_ID, REGION)
    assert LOCAL_STAGE.environment is None


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[prod]\nlog_retention_days = 91", r"stage 'prod': log_retention_days takes one of 1, 3, 5, .* not 91\."),
        ("[prod]\nkeep_data = 1", r"stage 'prod': keep_data takes true or false, not 1\."),
        ("[prod]\nburst = true", r"stage 'prod': burst takes 1 to 5,000 requests at once, not True\."),
        ("[prod]\nrequests_per_second = 0", r"requests_per_second takes 1 to 10,000 requests a second, not 0"),
        ("[prod]\nretention = 3", r"stage 'prod': there is no field 'retention'; there are account, region"),
        ("[prod]\naccount = 123456789012", r"account takes an AWS account's id in quotes, 12 digits, not 123456789012"),
        ('[prod]\naccount = "123456789012"', r"account and region take one another"),
        ('[prod]\nregion = "Ireland"', r"region takes a region, such as .* not 'Ireland'"),
        ('[prod]\ndomain_name = "batches.example.com"', r"domain_name and certificate_arn take one another"),
        ('[prod]\ndomain_name = "https://x.com"', r"domain_name takes a host name"),
        ('[prod]\ncertificate_arn = "mine"', r"certificate_arn takes the ARN of an ACM certificate, not 'mine'"),
        ('[prod]\nalarm_email = "oncall"', r"alarm_email takes an e-mail address, not 'oncall'"),
        ('[prod]\nalarm_topic_arn = "arn:aws:sns:us-east-1:1:x"', r"alarm_topic_arn takes the ARN of a standard SNS"),
        (
            '[p1]\nalarm_email = "a@b.cd"\nalarm_topic_arn = "arn:aws:sns:us-east-1:123456789012:x"',
            r"stage 'p1': give alarm_email or alarm_topic_arn",
        ),
        ('[prod]\nrunbook_url = "docs"', r"runbook_url takes an address that begins with https://"),
        ("[prod]\nslack_seconds_min = 1", r"slack_seconds_min takes 60 to 604,800 seconds, not 1"),
        ("[prod]\nbudget_usd_per_month = -1", r"budget_usd_per_month takes 1 to 10,000,000 dollars"),
        ("[prod]\ngpu_hours_per_day_max = 0", r"gpu_hours_per_day_max takes 1 to 100,000 instance hours"),
        ("[Prod]", r"a stage's name takes 2 to 12 of a-z, 0-9 and -, and begins with a letter; 'Prod' doesn't"),
        ("[much-too-long-a-name]", r"a stage's name takes 2 to 12"),
        ("[local]", r"the stage 'local' is the local cloud's own"),
        ("keep_data = true", r"'keep_data' stands outside a stage"),
        ("[prod", r"stages\.toml is no TOML: Expected '\]'"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_told_by_stage_field_and_what_it_takes(text: str, sentence: str) -> None:
    with pytest.raises(StageError, match=sentence):
        parse_stages(text)


def test_every_stage_goes_by_its_own_name() -> None:
    assert {name: stage_named(name, STAGES).name for name in STAGES} == {n: n for n in STAGES}
    assert {"dev", "prod", LOCAL} <= set(STAGES)
    with pytest.raises(StageError, match="There is no stage 'Prod'"):
        stage_named("Prod", STAGES)


def test_names_fit_where_aws_is_narrowest() -> None:
    """S3: 63 characters; https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html"""
    longest = Stage(name="twelve-chars")
    bucket = f"{longest.named('123456789012')}-ap-southeast-4-logs"
    assert len(bucket) <= 63


def test_an_api_of_ones_own_name_tells_where_the_name_must_lead(
    bundles: Bundles, catalogue: Catalogue
) -> None:
    stage = replace(STAGES["prod"], domain_name="batches.example.com", certificate_arn=ARN)
    api = synthesise(stage, bundles, catalogue).templates["api"]
    api.has_resource_properties(
        "AWS::ApiGateway::DomainName",
        {
            "DomainName": "batches.example.com",
            "RegionalCertificateArn": ARN,
            "SecurityPolicy": "TLS_1_2",
        },
    )
    assert find_faults(api.to_json(), ignore=["W3005"]) == []
    outputs = api.to_json()["Outputs"]
    assert outputs["BaseUrl"]["Value"] == "https://batches.example.com/"
    assert "RegionalDomainName" in str(outputs["DomainTarget"]["Value"])


def test_a_stage_bound_to_an_account_is_deployed_nowhere_else(
    bundles: Bundles, catalogue: Catalogue
) -> None:
    stage = replace(STAGES["prod"], account="123456789012", region="eu-west-1")
    app = synthesise(stage, bundles, catalogue).app
    stacks = app.synth().stacks
    assert stacks
    assert {s.environment.account for s in stacks} == {"123456789012"}
    assert {s.environment.region for s in stacks} == {"eu-west-1"}


def test_a_secret_of_a_service_is_named_to_the_function_that_asks_it_alone() -> None:
    stage = stage_named("eu", parse_stages(FULL))
    assert stage.signal_secrets == {
        "OFFPEAK_ELECTRICITY_MAPS_SECRET": "offpeak/electricity-maps",
        "OFFPEAK_WATTTIME_SECRET": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:watttime-Ab12Cd",
    }
    assert [folder for folder, access in ACCESS.items() if access.fetches_signals] == [
        "fetch_signals"
    ]
    assert parse_stages("[new]")["new"].signal_secrets == {}
