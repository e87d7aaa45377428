"""What differs between the deployments of one account: `dev`, `prod`, and `local`, which runs on an emulator."""

from __future__ import annotations

from dataclasses import dataclass

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs


class StageError(ValueError):
    """The context names a stage that doesn't exist; the message says which do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Throttle:
    """API Gateway's token bucket for the whole REST API: requests a second, and how many at once."""

    requests_per_second: int
    burst: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One deployment. `emulated` leaves out what only AWS itself can do: TLS-only policies, backups, tracing, log
    buckets, the account's API Gateway log role."""

    name: str
    removal_policy: RemovalPolicy
    deletion_protection: bool
    log_retention: logs.RetentionDays
    throttle: Throttle | None
    emulated: bool = False

    def named(self, name: str) -> str:
        """The physical name of a thing of this stage, as an operator looks for it."""
        return f"offpeak-{self.name}-{name}"


# Clients poll: a hundred busy clients at one request a second each are far under these. Both are under an account's
# default of 10,000 a second, so that one stage can't starve what else runs in the account.
STAGES = {
    "dev": Stage(
        name="dev",
        removal_policy=RemovalPolicy.DESTROY,
        deletion_protection=False,
        log_retention=logs.RetentionDays.TWO_WEEKS,
        throttle=Throttle(requests_per_second=100, burst=200),
    ),
    "prod": Stage(
        name="prod",
        removal_policy=RemovalPolicy.RETAIN,
        deletion_protection=True,
        log_retention=logs.RetentionDays.THREE_MONTHS,
        throttle=Throttle(requests_per_second=1_000, burst=2_000),
    ),
    "local": Stage(
        name="local",
        removal_policy=RemovalPolicy.DESTROY,
        deletion_protection=False,
        log_retention=logs.RetentionDays.ONE_DAY,
        throttle=None,
        emulated=True,
    ),
}


def stage_named(name: str) -> Stage:
    """The stage of this name. Raises StageError."""
    if name not in STAGES:
        raise StageError(f"There is no stage {name!r}: give -c stage= one of {', '.join(STAGES)}.")
    return STAGES[name]
