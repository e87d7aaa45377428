"""Alarms, dashboard, budget: everything that can break is watched, and every alarm says what to do first."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from app import ROOT
from infra.alarm_kinds import KINDS
from infra.bundles import Bundles
from infra.roles import ACCESS
from offpeak.core.catalogue import Catalogue
from offpeak.core.dead_letter import READERS, dead_name
from tests.infra.cfn_lint import find_faults
from tests.infra.door_stage import DOOR_STAGE
from tests.infra.synthesised import Synthesised, synthesise

RUNBOOK = (ROOT / "docs/runbook.md").read_text()
ALARMS_MAX = (
    5_000  # https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html
)
RICH = replace(DOOR_STAGE, budget_usd_per_month=900, gpu_hours_per_day_max=48)


@pytest.fixture(scope="module")
def generous(bundles: Bundles, catalogue: Catalogue) -> Synthesised:
    """A stage that has set all that monitoring can be told."""
    stage = replace(RICH, alarm_email="oncall@example.com")
    return synthesise(stage, bundles, catalogue)


def _alarms(stage: Synthesised, part: str = "monitoring") -> Mapping[str, Mapping[str, Any]]:
    found = stage.templates[part].find_resources("AWS::CloudWatch::Alarm").values()
    return {
        a["Properties"]["AlarmName"].removeprefix(stage.stage.named("")): a["Properties"]
        for a in found
    }


def _kinds(stage: Synthesised) -> set[str]:
    names = [*_alarms(stage), *_alarms(stage, "door")]
    return {kind for name in names for kind in KINDS if name.startswith(kind)}


def test_every_kind_of_alarm_has_its_section_in_the_runbook_and_the_other_way_round(
    generous: Synthesised,
) -> None:
    part = RUNBOOK.split("## The alarms", 1)[1].split("\n## ", 1)[0]
    assert set(re.findall(r"^### (\S+)$", part, re.M)) == set(KINDS) | {"budget"}
    assert _kinds(generous) == set(KINDS)


@pytest.mark.parametrize("kind", [*KINDS, "budget"])
def test_a_section_says_what_it_means_how_to_look_and_what_to_do(kind: str) -> None:
    section = re.split(r"^##+ ", RUNBOOK.split(f"### {kind}\n", 1)[1], maxsplit=1, flags=re.M)[0]
    for word in ("**Means.**", "**Look.**", "**Do.**"):
        assert word in section
    assert "aws " in section, "how to look and what to do are commands"


def test_every_alarm_says_what_to_do_first_and_where_to_read_on(generous: Synthesised) -> None:
    for name, alarm in (*_alarms(generous).items(), *_alarms(generous, "door").items()):
        [kind] = [kind for kind in KINDS if name.startswith(kind)]
        assert f"First: {KINDS[kind].first}" in alarm["AlarmDescription"]
        assert alarm["AlarmDescription"].endswith(f"docs/runbook.md#{kind}")


def test_every_alarm_tells_the_topic_when_it_goes_off_and_when_it_is_over(
    generous: Synthesised,
) -> None:
    [topic] = generous.templates["monitoring"].find_resources("AWS::SNS::Topic")
    for alarm in _alarms(generous).values():
        assert alarm["AlarmActions"] == alarm["OKActions"] == [{"Ref": topic}]


def test_every_dead_letter_queue_is_watched(prod: Synthesised) -> None:
    names, dead = {}, set()
    for part, template in prod.templates.items():
        for logical_id, queue in template.find_resources("AWS::SQS::Queue").items():
            names[f"{part}.{logical_id}"] = queue["Properties"]["QueueName"]
            policy = queue["Properties"].get("RedrivePolicy")
            if policy:
                dead.add(f"{part}.{policy['deadLetterTargetArn']['Fn::GetAtt'][0]}")
    watched = {
        alarm["Dimensions"][0]["Value"]
        for name, alarm in _alarms(prod).items()
        if name.startswith("dead-letters")
    }
    assert dead
    assert watched == {names[each] for each in dead}


def test_an_operator_is_shown_every_dead_letter_queue_and_who_reads_its_records(
    prod: Synthesised,
) -> None:
    """`offpeak redrive` knows them by name."""
    prefix = prod.stage.named("")
    names = {
        queue["Properties"]["QueueName"].removeprefix(prefix)
        for template in prod.templates.values()
        for queue in template.find_resources("AWS::SQS::Queue").values()
    }
    assert names == {*READERS, *map(dead_name, READERS)}
    assert set(READERS.values()) <= set(ACCESS)


def test_every_function_and_every_pool_is_watched(prod: Synthesised, catalogue: Catalogue) -> None:
    alarms = set(_alarms(prod))
    for folder in ACCESS:
        assert f"function-errors-{folder.replace('_', '-')}" in alarms
    for model in catalogue.models:
        of_pool = ("shards-late", "shards-failed", "batches-at-risk")
        assert {f"{kind}-{model.pool}" for kind in of_pool} <= alarms


def test_a_door_without_a_task_is_seen_where_there_is_a_door(
    prod: Synthesised, generous: Synthesised
) -> None:
    alarm = _alarms(generous)["door-down"]
    assert (alarm["Statistic"], alarm["TreatMissingData"]) == ("SampleCount", "breaching")
    watched = {d["Name"]: d["Value"] for d in alarm["Dimensions"]}
    [service] = generous.templates["door"].find_resources("AWS::ECS::Service").values()
    assert service["Properties"]["ServiceName"] == watched["ServiceName"]
    assert "door-down" not in _alarms(prod)


def test_the_door_s_5xx_ring_and_tell_the_same_topic(
    generous: Synthesised, prod: Synthesised, bundles: Bundles, catalogue: Catalogue
) -> None:
    """In the door's stack, since AWS names the load balancer; a stage without a door has none."""
    alarm = _alarms(generous, "door")["door-errors"]
    metrics = [each["MetricStat"]["Metric"] for each in alarm["Metrics"] if "MetricStat" in each]
    names = {"HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count"}
    assert {metric["MetricName"] for metric in metrics} == names
    [balancer] = generous.templates["door"].find_resources(
        "AWS::ElasticLoadBalancingV2::LoadBalancer"
    )
    of_balancer = {"Fn::GetAtt": [balancer, "LoadBalancerFullName"]}
    assert [metric["Dimensions"][0]["Value"] for metric in metrics] == [of_balancer] * 2
    assert alarm["TreatMissingData"] == "notBreaching"
    [topic] = generous.templates["monitoring"].find_resources("AWS::SNS::Topic").values()
    [told] = alarm["AlarmActions"]
    assert alarm["OKActions"] == [told]
    assert told["Fn::Join"][1][-1].endswith(f":{topic['Properties']['TopicName']}")
    assert generous.stage.named("door-errors") in json.dumps(generous.json("monitoring"))
    assert generous.stage.named("door-errors") not in json.dumps(prod.json("monitoring"))
    team = "arn:aws:sns:us-east-1:123456789012:oncall"
    other = synthesise(replace(RICH, alarm_topic_arn=team), bundles, catalogue)
    assert _alarms(other, "door")["door-errors"]["AlarmActions"] == [team]


def test_what_is_sent_by_an_event_or_a_topic_is_not_lost_when_it_can_not_be_delivered(
    prod: Synthesised,
) -> None:
    """Into the dead-letter queue of the queue that it was for, so that `offpeak redrive` brings it there. A clock's
    tick is no loss: the next one does what it would have done."""
    template = prod.templates["lifecycle"]
    queues = template.find_resources("AWS::SQS::Queue")
    dead = {
        queue_id: queue["Properties"]["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0]
        for queue_id, queue in queues.items()
        if "RedrivePolicy" in queue["Properties"]
    }
    assert set(queues) == {*dead, *dead.values()}
    sent = []
    for rule in template.find_resources("AWS::Events::Rule").values():
        if "ScheduleExpression" not in rule["Properties"]:
            targets = rule["Properties"]["Targets"]
            sent += [(target["Arn"], target["DeadLetterConfig"]["Arn"]) for target in targets]
    for each in template.find_resources("AWS::SNS::Subscription").values():
        policy = each["Properties"]["RedrivePolicy"]
        sent.append((each["Properties"]["Endpoint"], policy["deadLetterTargetArn"]))
    assert len(sent) >= 3
    for queue, letters in sent:
        assert letters["Fn::GetAtt"][0] == dead[queue["Fn::GetAtt"][0]]


def test_executions_that_end_otherwise_than_well_are_seen(prod: Synthesised) -> None:
    alarm = _alarms(prod)["executions-failed"]
    watched = {
        m["MetricStat"]["Metric"]["MetricName"] for m in alarm["Metrics"] if "MetricStat" in m
    }
    assert watched == {"ExecutionsFailed", "ExecutionsTimedOut", "ExecutionsAborted"}
    assert (alarm["Threshold"], alarm["EvaluationPeriods"]) == (1, 1)


def test_a_clock_that_stops_is_trouble_and_so_is_its_silence(prod: Synthesised) -> None:
    alarm = _alarms(prod)["clock-stopped-sweep"]
    assert alarm["TreatMissingData"] == "breaching"
    silent = ("clock-stopped", "door-down", "plan-stale")
    others = {n: a for n, a in _alarms(prod).items() if not n.startswith(silent)}
    assert {a["TreatMissingData"] for a in others.values()} == {"notBreaching"}


def test_a_pool_is_late_before_its_deadline_is_missed(prod: Synthesised) -> None:
    alarm = next(a for n, a in _alarms(prod).items() if n.startswith("shards-late"))
    assert alarm["MetricName"] == "LeastSlackSeconds"
    assert alarm["ComparisonOperator"] == "LessThanThreshold"
    assert alarm["Threshold"] == prod.stage.slack_seconds_min > 0


def test_spend_is_watched_where_the_stage_names_a_limit(
    generous: Synthesised, prod: Synthesised, catalogue: Catalogue
) -> None:
    template = generous.templates["monitoring"]
    [budget] = template.find_resources("AWS::Budgets::Budget").values()
    assert budget["Properties"]["Budget"]["BudgetLimit"] == {"Amount": 900, "Unit": "USD"}
    assert budget["Properties"]["Budget"]["CostFilters"] == {
        "TagKeyValue": ["user:offpeak:stage$prod"]
    }
    hours = {n: a for n, a in _alarms(generous).items() if n.startswith("gpu-hours")}
    assert len(hours) == len(catalogue.models)
    assert {a["Threshold"] for a in hours.values()} == {48}
    assert not prod.templates["monitoring"].find_resources("AWS::Budgets::Budget")
    assert not [n for n in _alarms(prod) if n.startswith("gpu-hours")]


def test_the_topic_takes_alarms_and_budgets_of_this_account_over_tls_and_nothing_else(
    generous: Synthesised,
) -> None:
    template = generous.templates["monitoring"]
    [policy] = template.find_resources("AWS::SNS::TopicPolicy").values()
    statements = policy["Properties"]["PolicyDocument"]["Statement"]
    allowed = [s for s in statements if s["Effect"] == "Allow"]
    services = [service for s in allowed for service in s["Principal"]["Service"]]
    assert sorted(services) == ["budgets.amazonaws.com", "cloudwatch.amazonaws.com"]
    for statement in allowed:
        assert statement["Condition"] == {
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
        }
    assert [s for s in statements if s["Effect"] == "Deny"]
    [subscription] = template.find_resources("AWS::SNS::Subscription").values()
    assert subscription["Properties"]["Endpoint"] == "oncall@example.com"


def test_a_topic_of_the_teams_own_is_told_instead(bundles: Bundles, catalogue: Catalogue) -> None:
    arn = "arn:aws:sns:us-east-1:123456789012:oncall"
    stage = replace(RICH, alarm_topic_arn=arn)
    synthesised = synthesise(stage, bundles, catalogue)
    assert not synthesised.templates["monitoring"].find_resources("AWS::SNS::Topic")
    assert {a["AlarmActions"][0] for a in _alarms(synthesised).values()} == {arn}


def test_the_richest_monitoring_breaks_no_rule_of_cloudformation(generous: Synthesised) -> None:
    assert find_faults(generous.json("monitoring")) == []


def test_monitoring_refers_to_no_other_stack(generous: Synthesised) -> None:
    assert "Fn::ImportValue" not in json.dumps(generous.json("monitoring"))


def test_the_dashboard_shows_every_alarm_and_is_as_large_as_cloudwatch_takes(
    generous: Synthesised,
) -> None:
    [dashboard] = (
        generous.templates["monitoring"].find_resources("AWS::CloudWatch::Dashboard").values()
    )
    body = json.dumps(dashboard["Properties"]["DashboardBody"])
    assert body.count('"Fn::GetAtt"') == len(_alarms(generous))
    for metric in ("WaitingShards", "OldestWaitSeconds", "LeastSlackSeconds", "FailedShards"):
        assert metric in body
    assert len(_alarms(generous)) < ALARMS_MAX
