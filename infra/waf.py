"""The web ACL before the API, and before the door where there is one: a stage's `waf`.

AWS WAF stands before regional REST APIs and load balancers as they are; nothing has to be put in front. It is coarse:
who may do what is for keys to say. It keeps off what floods from one address and what only scans for other people's
holes. Bodies are prompts: scripts, paths and addresses in them are what people ask models about. So every rule that
looks into a body, or at its size, only counts; and no request is sampled, for samples hold headers, and those the keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aws_cdk import aws_wafv2 as waf
from constructs import Construct

from infra.stage import Stage

RATE_SECONDS = 300
# Group → its rules that look at bodies, or at what an API's clients rightly leave out.
COUNTED: Mapping[str, Sequence[str]] = {
    "AWSManagedRulesCommonRuleSet": (
        "SizeRestrictions_BODY",
        "CrossSiteScripting_BODY",
        "EC2MetaDataSSRF_BODY",
        "GenericLFI_BODY",
        "GenericRFI_BODY",
        "NoUserAgent_HEADER",
    ),
    "AWSManagedRulesKnownBadInputsRuleSet": (
        "JavaDeserializationRCE_BODY",
        "Log4JRCE_BODY",
        "ReactJSRCE_BODY",
    ),
}


class Waf(Construct):
    """`acl`, which stands before each of `resource_arns`."""

    def __init__(
        self, scope: Construct, id: str, *, stage: Stage, resource_arns: Mapping[str, str]
    ) -> None:
        super().__init__(scope, id)
        self.acl = waf.CfnWebACL(
            self,
            "Acl",
            name=stage.named("api"),
            scope="REGIONAL",
            default_action=waf.CfnWebACL.DefaultActionProperty(allow={}),
            visibility_config=_metric(stage.named("waf")),
            rules=[
                _rate(stage, priority=0),
                *(
                    _managed(group, counted, priority)
                    for priority, (group, counted) in enumerate(COUNTED.items(), start=1)
                ),
            ],
        )
        for name, arn in resource_arns.items():
            waf.CfnWebACLAssociation(
                self, f"Before{name}", resource_arn=arn, web_acl_arn=self.acl.attr_arn
            )


def _rate(stage: Stage, priority: int) -> waf.CfnWebACL.RuleProperty:
    """429 and our envelope, as the API itself would say it."""
    rule = waf.CfnWebACL
    return rule.RuleProperty(
        name="requests-per-address",
        priority=priority,
        statement=rule.StatementProperty(
            rate_based_statement=rule.RateBasedStatementProperty(
                aggregate_key_type="IP",
                evaluation_window_sec=RATE_SECONDS,
                limit=stage.waf_requests_per_ip,
            )
        ),
        action=rule.RuleActionProperty(
            block=rule.BlockActionProperty(
                custom_response=rule.CustomResponseProperty(
                    response_code=429,
                    response_headers=[
                        rule.CustomHTTPHeaderProperty(name="retry-after", value=str(RATE_SECONDS))
                    ],
                )
            )
        ),
        visibility_config=_metric("requests-per-address"),
    )


def _managed(group: str, counted: Sequence[str], priority: int) -> waf.CfnWebACL.RuleProperty:
    rule = waf.CfnWebACL
    return rule.RuleProperty(
        name=group,
        priority=priority,
        statement=rule.StatementProperty(
            managed_rule_group_statement=rule.ManagedRuleGroupStatementProperty(
                vendor_name="AWS",
                name=group,
                rule_action_overrides=[
                    rule.RuleActionOverrideProperty(
                        name=name, action_to_use=rule.RuleActionProperty(count={})
                    )
                    for name in counted
                ],
            )
        ),
        override_action=rule.OverrideActionProperty(none={}),
        visibility_config=_metric(group),
    )


def _metric(name: str) -> waf.CfnWebACL.VisibilityConfigProperty:
    return waf.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=name, sampled_requests_enabled=False
    )
