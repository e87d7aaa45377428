"""A stage: what differs between the deployments of one account. `infra/stages_file.py` reads them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aws_cdk import Aws, Environment, RemovalPolicy
from aws_cdk import aws_logs as logs

LOCAL = "local"
# An hour of waiting costs a tenth of a cent: of hours that are alike, the first.
PLAN_WEIGHTS = {"dollars": 1, "carbon": 1, "earliness": 0.001}
RUNBOOK = "docs/runbook.md"
LOG_RETENTION = {
    1: logs.RetentionDays.ONE_DAY, 3: logs.RetentionDays.THREE_DAYS, 5: logs.RetentionDays.FIVE_DAYS,
    7: logs.RetentionDays.ONE_WEEK, 14: logs.RetentionDays.TWO_WEEKS, 30: logs.RetentionDays.ONE_MONTH,
    60: logs.RetentionDays.TWO_MONTHS, 90: logs.RetentionDays.THREE_MONTHS,
    120: logs.RetentionDays.FOUR_MONTHS, 150: logs.RetentionDays.FIVE_MONTHS,
    180: logs.RetentionDays.SIX_MONTHS, 365: logs.RetentionDays.ONE_YEAR,
    400: logs.RetentionDays.THIRTEEN_MONTHS, 731: logs.RetentionDays.TWO_YEARS,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One deployment. `emulated` leaves out what only AWS itself can do: TLS-only policies, backups, tracing, log
    buckets, alarms, the account's API Gateway log role. `slot_seconds` is how long one of the plan's slots is. The
    other fields are those of `stages.toml`:

    account, region             where it must be deployed; unset, wherever the credentials lead
    keep_data                   tables and buckets outlive their stack, and tables refuse to be deleted
    log_retention_days          of every log group
    customer_key                whether all is encrypted with a KMS key of this account's ($1 a month, and $0.5 idle)
    requests_per_second, burst  API Gateway's token bucket for the whole API
    domain_name, certificate_arn    the API's own name, and ACM's certificate for it in the same region
    alarm_email                 who hears of alarms; alarm_topic_arn: an SNS topic of yours that does instead
    runbook_url                 where docs/runbook.md can be read, for the alarms to link to
    slack_seconds_min           a pool whose most urgent shard has less time than this left is an alarm
    budget_usd_per_month        what everything tagged with this stage may cost
    gpu_hours_per_day_max       how many instance hours one pool may use in a day
    door                        whether files of any size are taken at domain_name (docs/door.md has its price)
    door_tasks_max              how many tasks the door may grow to
    electricity_maps_secret     the name or ARN of a secret in Secrets Manager: Electricity Maps' API token
    watttime_secret             likewise, WattTime's {"username": …, "password": …}
    plan_weights                what the plan minds: `dollars` for each dollar, `carbon` in dollars for each kilogram of
                                CO2eq, `earliness` in dollars for each instance-hour of work and hour that it waits
    waf                         whether a web ACL stands before the API (docs/security.md has its rules and price)
    waf_requests_per_ip         how many requests one address may send in five minutes
    private_network             whether GPU instances stand in a network without a way to the internet
    drop_days                   how long objects of the drop folder are kept, inputs and results
    drop_producers              who else may put files into it: an Offpeak account's id → AWS accounts, roles, users
    """

    name: str
    account: str | None = None
    region: str | None = None
    keep_data: bool = True
    log_retention_days: int = 90
    requests_per_second: int = 100
    burst: int = 200
    domain_name: str | None = None
    certificate_arn: str | None = None
    alarm_email: str | None = None
    alarm_topic_arn: str | None = None
    runbook_url: str = RUNBOOK
    slack_seconds_min: int = 3_600
    budget_usd_per_month: int | None = None
    gpu_hours_per_day_max: int | None = None
    slot_seconds: int = 900
    plan_weights: Mapping[str, float] = dataclasses.field(default_factory=dict)
    drop_producers: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    electricity_maps_secret: str | None = None
    watttime_secret: str | None = None
    drop_days: int = 30
    customer_key: bool = True
    waf: bool = False
    waf_requests_per_ip: int = 6_000
    private_network: bool = False
    door: bool = False
    door_tasks_max: int = 4
    emulated: bool = False

    def named(self, name: str) -> str:
        """The physical name of a thing of this stage, as an operator looks for it."""
        return f"offpeak-{self.name}-{name}"

    @property
    def signal_secrets(self) -> dict[str, str]:
        """By the variable that names each: its address, never what is in it."""
        named = {
            "OFFPEAK_ELECTRICITY_MAPS_SECRET": self.electricity_maps_secret,
            "OFFPEAK_WATTTIME_SECRET": self.watttime_secret,
        }
        return {name: secret for name, secret in named.items() if secret is not None}

    @property
    def plan_settings(self) -> Mapping[str, str]:
        """The variables of the function that plans."""
        return {
            "OFFPEAK_SLOT_SECONDS": str(self.slot_seconds),
            "OFFPEAK_PLAN_WEIGHTS": json.dumps({**PLAN_WEIGHTS, **self.plan_weights}),
        }

    @property
    def bucket_name(self) -> str:
        return f"{self.named(Aws.ACCOUNT_ID)}-{Aws.REGION}"

    @property
    def removal_policy(self) -> RemovalPolicy:
        return RemovalPolicy.RETAIN if self.keep_data else RemovalPolicy.DESTROY

    @property
    def log_retention(self) -> logs.RetentionDays:
        return LOG_RETENTION[self.log_retention_days]

    @property
    def environment(self) -> Environment | None:
        """None is wherever the credentials lead, which on an emulator is where it is."""
        if self.emulated or (self.account is None and self.region is None):
            return None
        return Environment(account=self.account, region=self.region)


LOCAL_STAGE = Stage(
    name=LOCAL, account="000000000000", region="us-east-1",  # the emulator's
    keep_data=False, log_retention_days=1, slot_seconds=60, door=True, emulated=True,
)  # fmt: skip
