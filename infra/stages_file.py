"""`stages.toml`, a table a stage: what each field takes, and which of them must go together.

`local` is not in the file: it runs on an emulator, and what it leaves out is not a matter of taste.
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infra.stage import LOCAL, LOCAL_STAGE, LOG_RETENTION, PLAN_WEIGHTS, Stage

# With it, an account's id and the longest region the log bucket's name is within S3's 63 characters, and an endpoint's
# leaves 42 of its 63 to the pool.
NAME = re.compile(r"[a-z][a-z0-9-]{0,10}[a-z0-9]")
PLAN_WEIGHT_MAX = 1_000
_PRODUCER = re.compile(r"\d{12}|arn:aws[a-z-]*:iam::\d{12}:(role|user)/[\w+=,.@/-]{1,512}")
_IN_SECRETS_MANAGER = (
    r"[\w/+=.@-]{1,512}|arn:[a-z-]+:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@-]{1,512}"
)

Check = Callable[[Any], bool]
"""Whether a field takes this value."""


class StageError(ValueError):
    """A stage doesn't exist or one of its fields is wrong; the message names both, and says what it takes."""


def _matches(pattern: str) -> Check:
    return lambda value: isinstance(value, str) and re.fullmatch(pattern, value) is not None


def _between(low: int, high: int) -> Check:
    return lambda value: type(value) is int and low <= value <= high


def _are_weights(value: Any) -> bool:
    return isinstance(value, dict) and all(
        name in PLAN_WEIGHTS and type(weight) in (int, float) and 0 <= weight <= PLAN_WEIGHT_MAX
        for name, weight in value.items()
    )


def _are_producers(value: Any) -> bool:
    return isinstance(value, dict) and all(
        re.fullmatch(r"acct_[0-9a-f]{8,40}", account)
        and isinstance(allowed, list)
        and all(isinstance(each, str) and _PRODUCER.fullmatch(each) for each in allowed)
        for account, allowed in value.items()
    )


# Field → whether a value is one of its, and what it takes.
_TAKES: Mapping[str, tuple[Check, str]] = {
    "account": (_matches(r"\d{12}"), "an AWS account's id in quotes, 12 digits"),
    "region": (_matches(r"[a-z]{2}(-[a-z]+)+-\d"), 'a region, such as "us-east-1"'),
    "keep_data": (lambda value: type(value) is bool, "true or false"),
    "log_retention_days": (
        lambda value: type(value) is int and value in LOG_RETENTION,
        f"one of {', '.join(map(str, LOG_RETENTION))}, which CloudWatch Logs offers",
    ),
    # API Gateway's own limit for an account is 10,000 a second, and 5,000 at once.
    "requests_per_second": (_between(1, 10_000), "1 to 10,000 requests a second"),
    "burst": (_between(1, 5_000), "1 to 5,000 requests at once"),
    "domain_name": (
        _matches(r"(?=.{4,253}$)([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}"),
        'a host name in lower case, such as "batches.example.com"',
    ),
    "certificate_arn": (
        _matches(r"arn:[a-z-]+:acm:[a-z0-9-]+:\d{12}:certificate/\S+"), "the ARN of an ACM certificate",
    ),
    "alarm_email": (_matches(r"[^@\s]+@[^@\s]+\.[^@\s]+"), "an e-mail address"),
    "alarm_topic_arn": (
        _matches(r"arn:[a-z-]+:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+"),
        "the ARN of a standard SNS topic",
    ),
    "runbook_url": (_matches(r"https://\S+"), "an address that begins with https://"),
    "slack_seconds_min": (_between(60, 604_800), "60 to 604,800 seconds"),
    "budget_usd_per_month": (_between(1, 10_000_000), "1 to 10,000,000 dollars"),
    "gpu_hours_per_day_max": (_between(1, 100_000), "1 to 100,000 instance hours"),
    "plan_weights": (
        _are_weights,
        f"a table of {', '.join(PLAN_WEIGHTS)}, each 0 to {PLAN_WEIGHT_MAX:,}",
    ),
    "drop_days": (_between(8, 3_650), "8 to 3,650 days: a batch may take 7"),
    "customer_key": (lambda value: type(value) is bool, "true or false"),
    "waf": (lambda value: type(value) is bool, "true or false"),
    "waf_requests_per_ip": (_between(10, 2_000_000_000), "10 or more requests in five minutes"),
    "private_network": (lambda value: type(value) is bool, "true or false"),
    "door": (lambda value: type(value) is bool, "true or false"),
    "door_tasks_max": (_between(1, 100), "1 to 100 tasks"),
    "electricity_maps_secret": (_matches(_IN_SECRETS_MANAGER), "the name or ARN of a secret in Secrets Manager"),
    "watttime_secret": (_matches(_IN_SECRETS_MANAGER), "the name or ARN of a secret in Secrets Manager"),
    "drop_producers": (
        _are_producers,
        "a table: an account's id, acct_… = a list of AWS account ids or ARNs of roles, in quotes",
    ),
}  # fmt: skip


def parse_stages(text: str) -> Mapping[str, Stage]:
    """The stages of a `stages.toml`, and `local`. Raises StageError."""
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise StageError(f"stages.toml is no TOML: {error}.") from None
    return {name: _stage(name, table) for name, table in tables.items()} | {LOCAL: LOCAL_STAGE}


def stage_named(name: str, stages: Mapping[str, Stage]) -> Stage:
    """The stage of this name. Raises StageError."""
    if name not in stages:
        raise StageError(
            f"There is no stage {name!r}: give -c stage= one of {', '.join(stages)}, or add it to stages.toml."
        )
    return stages[name]


def _stage(name: str, table: Any) -> Stage:
    if name == LOCAL:
        raise StageError(
            "stages.toml: the stage 'local' is the local cloud's own; name it otherwise."
        )
    if not isinstance(table, dict):
        raise StageError(
            f"stages.toml: {name!r} stands outside a stage; write it under [dev], say."
        )
    if not NAME.fullmatch(name):
        raise StageError(
            f"stages.toml: a stage's name takes 2 to 12 of a-z, 0-9 and -, and begins with a letter; {name!r} doesn't."
        )
    for field, value in table.items():
        _check(name, field, value)
    stage = Stage(name=name, **table)
    _check_together(stage)
    return stage


def _check(name: str, field: str, value: Any) -> None:
    if field not in _TAKES:
        raise StageError(
            f"stages.toml: stage {name!r}: there is no field {field!r}; there are {', '.join(_TAKES)}."
        )
    check, takes = _TAKES[field]
    if not check(value):
        raise StageError(f"stages.toml: stage {name!r}: {field} takes {takes}, not {value!r}.")


def with_door(stage: Stage, door: bool) -> Stage:
    """The stage with its door or without. Raises StageError."""
    chosen = dataclasses.replace(stage, door=door)
    if not stage.emulated:
        _check_together(chosen)
    return chosen


def check_regions(stage: Stage, further: Sequence[str]) -> None:
    """Whether pools may stand in these regions beside the stage's own. Raises StageError."""
    where = (
        f"models.toml gives regions ({', '.join(further)}), and stages.toml: stage {stage.name!r}:"
    )
    if stage.region is None:
        raise StageError(
            f"{where} give account and region, which is where control plane and data are."
        )
    if stage.region in further:
        raise StageError(
            f"{where} {stage.region} is the home region; every model has a pool there."
        )
    if stage.private_network:
        raise StageError(
            f"{where} private_network holds in the home region alone; take it or the regions away."
        )


def _check_together(stage: Stage) -> None:
    where = f"stages.toml: stage {stage.name!r}:"
    if stage.door and stage.domain_name is None:
        raise StageError(
            f"{where} a door takes domain_name and certificate_arn: keys must not travel in the clear, and a load "
            "balancer's own name has no certificate."
        )
    if (stage.domain_name is None) != (stage.certificate_arn is None):
        raise StageError(
            f"{where} domain_name and certificate_arn take one another; give both or neither."
        )
    if stage.alarm_email is not None and stage.alarm_topic_arn is not None:
        raise StageError(
            f"{where} give alarm_email or alarm_topic_arn; subscribe the address to your topic."
        )
    if (stage.account is None) != (stage.region is None):
        raise StageError(f"{where} account and region take one another; give both or neither.")
