"""The web ACL: a stack of its own, where a stage wants it, with rules that let prompts through."""

from __future__ import annotations

import json

from infra.waf import COUNTED
from tests.infra.synthesised import Synthesised


def test_a_stage_has_none_unless_it_says_so(prod: Synthesised, local: Synthesised) -> None:
    assert "waf" not in prod.templates
    assert "waf" not in local.templates


def test_it_stands_before_the_api_and_before_the_door(hardened: Synthesised) -> None:
    before = hardened.templates["waf"].find_resources("AWS::WAFv2::WebACLAssociation").values()
    arns = sorted(json.dumps(each["Properties"]["ResourceArn"]) for each in before)
    assert len(arns) == 2
    assert any("/restapis/" in arn and "/stages/" in arn for arn in arns)
    assert any("LoadBalancer" in arn for arn in arns)
    [acl] = hardened.templates["waf"].find_resources("AWS::WAFv2::WebACL").values()
    assert acl["Properties"]["Scope"] == "REGIONAL"
    assert acl["Properties"]["DefaultAction"] == {"Allow": {}}


def test_who_sends_too_much_is_told_when_to_come_again(hardened: Synthesised) -> None:
    [acl] = hardened.templates["waf"].find_resources("AWS::WAFv2::WebACL").values()
    [rate] = [r for r in acl["Properties"]["Rules"] if "RateBasedStatement" in r["Statement"]]
    assert rate["Statement"]["RateBasedStatement"] == {
        "AggregateKeyType": "IP",
        "EvaluationWindowSec": 300,
        "Limit": hardened.stage.waf_requests_per_ip,
    }
    answer = rate["Action"]["Block"]["CustomResponse"]
    assert answer["ResponseCode"] == 429
    assert answer["ResponseHeaders"] == [{"Name": "retry-after", "Value": "300"}]


def test_no_rule_that_looks_into_a_body_refuses_it(hardened: Synthesised) -> None:
    [acl] = hardened.templates["waf"].find_resources("AWS::WAFv2::WebACL").values()
    groups = {
        rule["Name"]: rule["Statement"]["ManagedRuleGroupStatement"]
        for rule in acl["Properties"]["Rules"]
        if "ManagedRuleGroupStatement" in rule["Statement"]
    }
    assert set(groups) == set(COUNTED)
    for name, group in groups.items():
        counted = {o["Name"] for o in group["RuleActionOverrides"] if "Count" in o["ActionToUse"]}
        assert counted == set(COUNTED[name])
    assert "SizeRestrictions_BODY" in COUNTED["AWSManagedRulesCommonRuleSet"]


def test_no_request_is_sampled_for_samples_hold_keys(hardened: Synthesised) -> None:
    assert '"SampledRequestsEnabled": true' not in json.dumps(hardened.json("waf"))
    assert '"SampledRequestsEnabled": false' in json.dumps(hardened.json("waf"))
