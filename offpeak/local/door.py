"""What the door's stack says of its container: the environment it runs in, and in which role."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from offpeak.local.deploy import PSEUDO_PARAMETERS
from offpeak.local.templates import Resolver, resources_of

PROFILE, ADMINISTRATOR = "door", "administrator"


@dataclass(frozen=True, slots=True)
class DoorSpec:
    environment: Mapping[str, str]
    role_arn: str


def read_door(
    template: Mapping[str, Any], exports: Mapping[str, str], physical: Mapping[str, str]
) -> DoorSpec:
    """`exports` are those of the deployed stacks, `physical` the names of this stack's roles on the emulator."""
    account = PSEUDO_PARAMETERS["AWS::AccountId"]
    roles = {
        f"{name}.Arn": f"arn:aws:iam::{account}:role/{physical[name]}"
        for name in resources_of(template, "AWS::IAM::Role")
    }
    resolver = Resolver(names=PSEUDO_PARAMETERS, attributes=roles, imports=exports)
    [task] = resources_of(template, "AWS::ECS::TaskDefinition").values()
    [container] = task["ContainerDefinitions"]
    variables = resolver.resolve(container["Environment"])
    return DoorSpec(
        environment={each["Name"]: each["Value"] for each in variables},
        role_arn=resolver.resolve(task["TaskRoleArn"]),
    )


def assume_role(spec: DoorSpec, administrator: Mapping[str, str], config: Path) -> dict[str, str]:
    """The environment with which an SDK works in the door's role, and takes it anew before it ends: a profile, written
    to `config`."""
    config.write_text(
        f"[profile {PROFILE}]\nrole_arn = {spec.role_arn}\nsource_profile = {ADMINISTRATOR}\n"
        f"[profile {ADMINISTRATOR}]\n"
        f"aws_access_key_id = {administrator['AWS_ACCESS_KEY_ID']}\n"
        f"aws_secret_access_key = {administrator['AWS_SECRET_ACCESS_KEY']}\n"
    )
    return {
        "AWS_CONFIG_FILE": str(config),
        "AWS_PROFILE": PROFILE,
        "AWS_ENDPOINT_URL": administrator["AWS_ENDPOINT_URL"],
        "AWS_REGION": administrator["AWS_REGION"],
    }
