"""Creates the synthesised stacks on the emulator by CloudFormation's own API, as `cdk deploy` would."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError, WaiterError

from offpeak.local.assembly import FileAsset, Stack
from offpeak.local.emulator import ACCOUNT_ID, REGION
from offpeak.local.packages import package, unpack

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_s3 import S3Client

STACK_SECONDS_MAX = 180
STACK_POLL_SECONDS = 0.2
PSEUDO_PARAMETERS = {
    "AWS::AccountId": ACCOUNT_ID,
    "AWS::Region": REGION,
    "AWS::Partition": "aws",
    "AWS::URLSuffix": "amazonaws.com",
}
TEMPLATES = "templates"


class DeployFailed(RuntimeError):
    """A stack could not be created. The message lists the resources that failed and why."""


@dataclass(frozen=True, slots=True)
class Deployed:
    """What the stacks gave back: outputs and physical names by stack and key or logical id, exports by name."""

    outputs: Mapping[str, Mapping[str, str]]
    physical: Mapping[str, Mapping[str, str]]
    exports: Mapping[str, str]


def session_of(environment: Mapping[str, str]) -> boto3.Session:
    """A session with the credentials of `environment`; its clients still need the endpoint's URL."""
    return boto3.Session(
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
        region_name=environment["AWS_REGION"],
    )


def deploy(stacks: Sequence[Stack], environment: Mapping[str, str], *, unpacked: Path) -> Deployed:
    """Uploads the stacks' assets and creates them in the given order, each in its region. Functions run from
    `unpacked`, a folder that must stay while they do (packages.py). Raises DeployFailed."""
    session, url = session_of(environment), environment["AWS_ENDPOINT_URL"]
    s3 = session.client("s3", endpoint_url=url)
    there = {
        region: session.client("cloudformation", endpoint_url=url, region_name=region)
        for region in {stack.region for stack in stacks}
    }
    _upload(s3, [asset for stack in stacks for asset in stack.assets], unpacked)
    s3.create_bucket(Bucket=TEMPLATES)
    outputs = {}
    for stack in stacks:
        body = json.dumps(_without_bootstrap_rule(stack.template)).encode()
        s3.put_object(Bucket=TEMPLATES, Key=stack.name, Body=body)
        template_url = f"{url}/{TEMPLATES}/{stack.name}"
        outputs[stack.name] = _create(there[stack.region], stack.name, template_url)
    physical = {stack.name: _physical(there[stack.region], stack.name) for stack in stacks}
    exports = {
        export["Name"]: export["Value"]
        for cloudformation in there.values()
        for page in cloudformation.get_paginator("list_exports").paginate()
        for export in page["Exports"]
    }
    return Deployed(outputs, physical, exports)


def _upload(s3: S3Client, assets: Sequence[FileAsset], unpacked: Path) -> None:
    uploaded: set[tuple[str, str]] = set()
    buckets: set[str] = set()
    for asset in assets:
        bucket, key = _located(asset.bucket), _located(asset.key)
        if bucket not in buckets:
            s3.create_bucket(Bucket=bucket)
            buckets.add(bucket)
        if (bucket, key) not in uploaded:
            body = (
                package(unpack(asset.path, unpacked)) if asset.zipped else asset.path.read_bytes()
            )
            s3.put_object(Bucket=bucket, Key=key, Body=body)
            uploaded.add((bucket, key))


def _located(name: str) -> str:
    for parameter, value in PSEUDO_PARAMETERS.items():
        name = name.replace(f"${{{parameter}}}", value)
    return name


def _create(
    cloudformation: CloudFormationClient, name: str, template_url: str
) -> Mapping[str, str]:
    try:
        cloudformation.create_stack(
            StackName=name,
            TemplateURL=template_url,
            Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "CAPABILITY_AUTO_EXPAND"],
        )
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=name,
            WaiterConfig={
                "Delay": STACK_POLL_SECONDS,  # type: ignore[typeddict-item]
                "MaxAttempts": int(STACK_SECONDS_MAX / STACK_POLL_SECONDS),
            },
        )
    except (WaiterError, ClientError) as error:
        reasons = "\n".join(_failures(cloudformation, name))
        raise DeployFailed(f"{name}: {str(error)[:1_000]}\n{reasons}") from None
    [description] = cloudformation.describe_stacks(StackName=name)["Stacks"]
    return {o["OutputKey"]: o["OutputValue"] for o in description.get("Outputs", [])}


def _physical(cloudformation: CloudFormationClient, stack_name: str) -> Mapping[str, str]:
    resources = cloudformation.describe_stack_resources(StackName=stack_name)["StackResources"]
    return {r["LogicalResourceId"]: r.get("PhysicalResourceId", "") for r in resources}


def _without_bootstrap_rule(template: Mapping[str, Any]) -> Mapping[str, Any]:
    """`cdk bootstrap` never ran here: its version parameter and the rule on it have nothing to check."""
    parameters = {
        name: parameter
        for name, parameter in template.get("Parameters", {}).items()
        if name != "BootstrapVersion"
    }
    kept = {k: v for k, v in template.items() if k not in ("Parameters", "Rules")}
    return kept | ({"Parameters": parameters} if parameters else {})


def _failures(cloudformation: CloudFormationClient, stack_name: str) -> Sequence[str]:
    try:
        events = cloudformation.describe_stack_events(StackName=stack_name)["StackEvents"]
    except ClientError:
        return []
    return [
        f"  {event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
        for event in reversed(events)
        if event["ResourceStatus"].endswith("FAILED")
    ]
