"""What each role of a production stage may do, read out of the synthesised templates: `docs/rights.md`.

    python -m tests.infra.snapshots        writes it, with the templates

A reviewer reads there what a change gives to whom. Every wildcard in it has a reason here, or a test fails.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aws_cdk.assertions import Template

from tests.infra.synthesised import Synthesised

# Every wildcard in a policy, by the end of its resource, and why it is there.
REASONS: Mapping[str, str] = {
    "/files/*": "a prefix of the bucket; ids are in the keys",
    "/drop/*": "a prefix of the bucket; accounts and producers' names are in the keys",
    "/uploads/*": "a prefix of the bucket; ids are in the keys",
    "/work/*": "a prefix of the bucket; ids are in the keys",
    "/results/*": "a prefix of the bucket; ids are in the keys",
    "/errors/*": "a prefix of the bucket; ids are in the keys",
    "/weights/*": "a model's weights, which are many files",
    "/signals/*": "signals of any region, and of past days",
    "/tokenizers/*": "a prefix of the bucket; pools are in the keys",
    "/drop/*.output.jsonl": "what is written beside them, by its suffix",
    "/drop/*.errors.jsonl": "what is written beside them, by its suffix",
    "/drop/*.status.json": "what is written beside them, by its suffix",
    "/work/requests/*": "a prefix of the bucket; ids are in the keys",
    "/work/cancelled/*": "a prefix of the bucket; pools are in the keys",
    "/work/groups/*": "a prefix of the bucket; ids are in the keys",
    ".Arn:*": "a function's versions, which Step Functions may be told to call (CDK's grant_invoke)",
    "-process-batch:*": "the executions of our own state machine, which are named by batches",
    ":*": "the streams of a log group of ours, which AWS names",
    "scalable-target/*": "targets have ids that AWS makes; only those of SageMaker's (the condition)",
    "network-interface/*": "interfaces that SageMaker makes, under ids that nobody knows before",
}
# Actions that AWS lets nobody narrow to a resource.
UNSCOPED: Mapping[str, str] = {
    "cloudwatch:PutMetricData": "metrics have no ARN; narrowed by their namespace",
    "ecr:GetAuthorizationToken": "of the whole registry",
    "xray:GetSamplingRules": "X-Ray has no resources",
    "xray:GetSamplingTargets": "X-Ray has no resources",
    "xray:PutTelemetryRecords": "X-Ray has no resources",
    "xray:PutTraceSegments": "X-Ray has no resources",
    **dict.fromkeys(
        (
            "logs:CreateLogDelivery", "logs:DeleteLogDelivery", "logs:DescribeLogGroups",
            "logs:DescribeResourcePolicies", "logs:GetLogDelivery", "logs:ListLogDeliveries",
            "logs:PutResourcePolicy", "logs:UpdateLogDelivery",
        ),
        "delivery of the state machine's log to CloudWatch",
    ),
    **dict.fromkeys(
        (
            "ec2:DescribeDhcpOptions", "ec2:DescribeNetworkInterfaces",
            "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs",
        ),
        "EC2 lets nobody narrow what may be looked at",
    ),
}  # fmt: skip
_ROLE = re.compile(r"(Role)?(DefaultPolicy|OverflowPolicy\d)[0-9A-F]{8}$")
_HASH = re.compile(r"[0-9A-F]{8}$")
_NAMES = (
    "TableName",
    "QueueName",
    "TopicName",
    "BucketName",
    "LogGroupName",
    "Name",
    "FunctionName",
)
_PSEUDO = {"AWS::Partition": "aws", "AWS::Region": "REGION", "AWS::AccountId": "ACCOUNT"}


@dataclass(frozen=True)
class Right:
    """One statement of a role's policy: what it may do, on what, and under which condition."""

    part: str
    role: str
    actions: tuple[str, ...]
    resources: tuple[str, ...]
    condition: str

    @property
    def reason(self) -> str:
        """Why its wildcards are there; empty where there are none. Raises LookupError for one without."""
        return "; ".join(dict.fromkeys(filter(None, map(self._reason, self.resources))))

    def _reason(self, resource: str) -> str:
        if "*" not in "".join(self.actions) + resource:
            return ""
        if resource == "*" and set(self.actions) <= set(UNSCOPED):
            return "; ".join(dict.fromkeys(UNSCOPED[action] for action in self.actions))
        for end, reason in REASONS.items():
            if resource.endswith(end) and not any("*" in action for action in self.actions):
                return reason
        raise LookupError(f"{self.role} may {', '.join(self.actions)} on {resource}: why?")


def rights(stage: Synthesised) -> list[Right]:
    """In the order of roles and services."""
    found = [
        Right(
            part=part,
            role=_ROLE.sub("", name),
            actions=tuple(sorted(_list(statement["Action"]))),
            resources=tuple(sorted(_flat(each, part, stage) for each in _list(statement["Resource"]))),
            condition=_condition(statement.get("Condition", {}), part, stage),
        )
        for part, template in stage.templates.items()
        for name, policy in policies(template)
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]  # fmt: skip
    return sorted(
        set(found),
        key=lambda right: (right.role, right.actions, right.resources, right.condition, right.part),
    )


def policies(template: Template) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Of roles, by their logical ids. CDK makes a managed policy of what an inline one has no room for."""
    for role in template.find_resources("AWS::IAM::Role").values():
        assert "Policies" not in role["Properties"]
    for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy"):
        yield from template.find_resources(kind).items()


def render(found: list[Right]) -> str:
    """One heading a role, one row a statement. Raises LookupError for a wildcard without a reason."""
    by_role: dict[str, list[Right]] = defaultdict(list)
    for right in found:
        by_role[right.role].append(right)
    return (
        INTRODUCTION
        + "\n".join(
            f"\n## {role}\n\n| may | on | only if; why a wildcard |\n|---|---|---|\n"
            + "\n".join(map(_row, of_role))
            for role, of_role in by_role.items()
        )
        + "\n"
    )


INTRODUCTION = """# What each role may do

Written by `make snapshots` from the templates of the stage `prod` with a door, a web ACL, a private network and one
pool; `tests/infra/test_infra_rights.py` holds it, and fails on a wildcard without a reason
(`tests/infra/role_rights.py`). All of these are `Allow`; what isn't named is refused. `ACCOUNT` and `REGION` are the
deployment's.
"""


def _row(right: Right) -> str:
    notes = "; ".join(filter(None, (right.condition, right.reason)))
    actions, resources = (
        "<br>".join(f"`{each}`" for each in x) for x in (right.actions, right.resources)
    )
    return f"| {actions} | {resources} | {notes} |"


def _condition(condition: Mapping[str, Any], part: str, stage: Synthesised) -> str:
    return "; ".join(
        f"{key} {operator} {', '.join(_flat(each, part, stage) for each in _list(values))}"
        for operator, tests in sorted(condition.items())
        for key, values in sorted(tests.items())
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _flat(value: Any, part: str, stage: Synthesised) -> str:  # noqa: PLR0911 - one a function
    """An ARN or a name as a person reads it: what is a reference in the template is the name of what it leads to."""
    if isinstance(value, str):
        return value
    [(function, argument)] = value.items()
    match function:
        case "Fn::Join":
            return str(argument[0]).join(_flat(each, part, stage) for each in argument[1])
        case "Fn::ImportValue":
            return _exported(argument, stage)
        case "Fn::GetAtt":
            return _named(argument[0], part, stage) + (
                ".Arn" if _kind(argument[0], part, stage) == "AWS::Lambda::Function" else ""
            )
        case "Ref":
            return _PSEUDO.get(argument) or _named(argument, part, stage)
        case "Fn::Sub":
            return re.sub(r"\$\{AWS::\w+\}", lambda m: _PSEUDO[m[0][2:-1]], str(argument))
        case _:
            return re.sub(r"\s+", " ", str(value))


def _exported(name: str, stage: Synthesised) -> str:
    for part in stage.templates:
        for output in stage.json(part).get("Outputs", {}).values():
            if output.get("Export", {}).get("Name") == name:
                return _flat(output["Value"], part, stage)
    raise LookupError(f"No stack exports {name}.")


def _kind(logical: str, part: str, stage: Synthesised) -> str:
    return str(stage.json(part)["Resources"][logical]["Type"])


def _named(logical: str, part: str, stage: Synthesised) -> str:
    properties = stage.json(part)["Resources"][logical].get("Properties", {})
    for name in _NAMES:
        if name in properties:
            return _flat(properties[name], part, stage)
    return _HASH.sub("", logical)
