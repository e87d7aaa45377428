"""An `Access` as a policy and as an environment: addresses of what may be touched, of nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from aws_cdk import Aws
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs

from infra.access import PROCESS_BATCH, Access
from infra.encryption import READS, WRITES, through
from infra.stage import Stage
from infra.storage import TABLES
from offpeak.core.account import KEY_PEPPER
from offpeak.core.destination import Reach
from offpeak.core.drop import DROP_PREFIX, ERRORS_SUFFIX, OUTPUT_SUFFIX, WRITTEN_SUFFIXES
from offpeak.core.ports.metrics import NAMESPACE

ROW_READS = ["dynamodb:GetItem", "dynamodb:Query"]
ROW_BATCH_READS = ["dynamodb:BatchGetItem"]
ROW_WRITES = ["dynamodb:PutItem"]
ROW_UPDATES = ["dynamodb:UpdateItem"]
ROW_DELETES = ["dynamodb:DeleteItem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What an Access is an access to. `key` encrypts it at rest, in a stage that has one."""

    stage: Stage
    bucket: s3.IBucket
    tables: Mapping[str, dynamodb.ITable]
    dispatch_queue: sqs.IQueue
    drop_queue: sqs.IQueue
    request_queue: sqs.IQueue
    group_queue: sqs.IQueue
    callback_queue: sqs.IQueue
    signing_secret: secretsmanager.ISecret
    key_pepper: secretsmanager.ISecret
    event_bus: events.IEventBus
    pools: tuple[str, ...]
    regions: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The further regions of each of `pools` that has any."""
    key: kms.IKey | None = None
    key_alias: str | None = None
    """Of a key that is known by this alone, as home's is in a further region."""

    @property
    def state_machine_arn(self) -> str:
        """By name, not by reference: the state machine names its functions, so they can't name it back."""
        name = self.stage.named(PROCESS_BATCH)
        return _arn("states", f"stateMachine:{name}")

    @property
    def executions_arn(self) -> str:
        return _arn("states", f"execution:{self.stage.named(PROCESS_BATCH)}:*")


def environment(access: Access, resources: Resources) -> dict[str, str]:
    """The addresses of what `access` names."""
    variables = {
        "OFFPEAK_STAGE": resources.stage.name,
        **_way_out(access, resources),
        **(resources.stage.signal_secrets if access.fetches_signals else {}),
    }
    # By name, not by reference: an environment holds 4 KB, and each reference between stacks ties their updates.
    for name in access.tables:
        variables[f"OFFPEAK_TABLE_{name.upper()}"] = resources.stage.named(name)
    if access.touches_objects:
        variables["OFFPEAK_BUCKET"] = resources.bucket.bucket_name
    if access.starts_batches or access.answers_batches:
        variables["OFFPEAK_STATE_MACHINE_ARN"] = resources.state_machine_arn
    if access.asks_dispatch:
        variables["OFFPEAK_DISPATCH_QUEUE_URL"] = resources.dispatch_queue.queue_url
    if access.puts_back_drops:
        variables["OFFPEAK_DROP_QUEUE_URL"] = resources.drop_queue.queue_url
    if access.sends_requests:
        variables["OFFPEAK_REQUEST_QUEUE_URL"] = resources.request_queue.queue_url
    if access.asks_groups:
        variables["OFFPEAK_GROUP_QUEUE_URL"] = resources.group_queue.queue_url
    if access.invokes_endpoints or access.scales_pools:
        variables["OFFPEAK_ENDPOINT_PREFIX"] = resources.stage.named("")
    if access.announces:
        variables["OFFPEAK_EVENT_BUS"] = resources.event_bus.event_bus_name
    return variables


def _way_out(access: Access, resources: Resources) -> dict[str, str]:
    """What delivers events to callers' URLs, and the secrets."""
    variables = {}
    if access.knows_keys:
        variables["OFFPEAK_KEY_PEPPER"] = resources.stage.named(KEY_PEPPER)
    if access.asks_callbacks:
        variables["OFFPEAK_CALLBACK_QUEUE_URL"] = resources.callback_queue.queue_url
    if access.signs:
        variables["OFFPEAK_SIGNING_SECRET"] = resources.signing_secret.secret_arn
    if access.calls_out:
        reach = Reach.LOOPBACK if resources.stage.emulated else Reach.PUBLIC
        variables["OFFPEAK_REACH"] = str(reach)
    return variables


def grant(role: iam.IGrantable, access: Access, resources: Resources) -> None:
    """Lets `role` do what `access` names, and nothing else."""
    for statement in (
        *_by_resource(_rows(access, resources)),
        *_by_resource(_objects(access, resources.bucket)),
        *_executions(access, resources),
        *_effects(access, resources),
        *_deliveries(access, resources),
        *_secrets(access, resources),
        *_key(access, resources.key, resources.key_alias),
    ):
        role.grant_principal.add_to_principal_policy(statement)


def _by_resource(statements: Iterable[iam.PolicyStatement]) -> Iterator[iam.PolicyStatement]:
    """The same rights, each resource named once: a role's policies may be no longer than 10,240 characters."""
    actions: dict[str, set[str]] = {}
    for statement in statements:
        for resource in statement.resources:
            actions.setdefault(resource, set()).update(statement.actions)
    resources: dict[tuple[str, ...], list[str]] = {}
    for resource, allowed in actions.items():
        resources.setdefault(tuple(sorted(allowed)), []).append(resource)
    for together, found in resources.items():
        yield _allow(list(together), *found)


def _rows(access: Access, resources: Resources) -> Iterator[iam.PolicyStatement]:
    for name in access.reads:
        arn = resources.tables[name].table_arn
        indexes = [
            f"{arn}/index/{index}"
            for index, key in TABLES[name].indexes.items()
            if access.looks_by_time or not key.is_of_the_clock
        ]
        yield _allow(ROW_READS, arn, *indexes)
        if name == "requests":
            yield _allow(ROW_BATCH_READS, arn)
    for name in access.writes:
        yield _allow(ROW_WRITES, resources.tables[name].table_arn)
    for name in access.updates:
        yield _allow(ROW_UPDATES, resources.tables[name].table_arn)
    for name in access.deletes:
        yield _allow(ROW_DELETES, resources.tables[name].table_arn)


def _objects(access: Access, bucket: s3.IBucket) -> Iterator[iam.PolicyStatement]:
    def under(prefixes: tuple[str, ...]) -> list[str]:
        return [bucket.arn_for_objects(f"{prefix}*") for prefix in prefixes]

    if access.reads_objects:
        yield _allow(["s3:GetObject"], *under(access.reads_objects))
        # Who may not list gets 403 for a key that isn't there; our ports promise NotFound, so 404 is needed.
        yield _allow(["s3:ListBucket"], bucket.bucket_arn)
    if access.writes_objects:
        yield _allow(["s3:PutObject", "s3:AbortMultipartUpload"], *under(access.writes_objects))
    if access.deletes_objects:
        yield _allow(["s3:DeleteObject"], *under(access.deletes_objects))

    def beside_drops(*suffixes: str) -> list[str]:
        return [bucket.arn_for_objects(f"{DROP_PREFIX}*{suffix}") for suffix in suffixes]

    if access.writes_beside_drops:
        actions = ["s3:PutObject", "s3:AbortMultipartUpload"]
        yield _allow(actions, *beside_drops(*WRITTEN_SUFFIXES))
    if access.clears_beside_drops:
        yield _allow(["s3:DeleteObject"], *beside_drops(OUTPUT_SUFFIX, ERRORS_SUFFIX))


def _effects(access: Access, resources: Resources) -> Iterator[iam.PolicyStatement]:
    if access.asks_dispatch:
        yield _allow(["sqs:SendMessage"], resources.dispatch_queue.queue_arn)
    if access.puts_back_drops:
        yield _allow(["sqs:SendMessage"], resources.drop_queue.queue_arn)
    if access.sends_requests:
        yield _allow(["sqs:SendMessage"], resources.request_queue.queue_arn)
    if access.asks_groups:
        yield _allow(["sqs:SendMessage"], resources.group_queue.queue_arn)
    if access.invokes_endpoints:
        yield _allow(["sagemaker:InvokeEndpointAsync"], *_endpoints(resources))
    if access.scales_pools:
        yield from _scaling(resources)
    if access.announces:
        yield _allow(["events:PutEvents"], resources.event_bus.event_bus_arn)
    if access.publishes_metrics:
        # Metrics have no ARN; their namespace is what a policy can hold on to. The emulator doesn't know of it.
        ours = {"StringEquals": {"cloudwatch:namespace": NAMESPACE}}
        yield iam.PolicyStatement(
            actions=["cloudwatch:PutMetricData"],
            resources=["*"],
            conditions=None if resources.stage.emulated else ours,
        )


def _endpoints(resources: Resources) -> Iterator[str]:
    for pool in resources.pools:
        name = resources.stage.named(pool)
        for region in (Aws.REGION, *resources.regions.get(pool, ())):
            yield _arn("sagemaker", f"endpoint/{name}", region)


def _scaling(resources: Resources) -> Iterator[iam.PolicyStatement]:
    """Whoever bounds a scalable target needs the rights to what it scales, too. A target's ARN has an id of AWS's
    choosing; what can be held on to is whose service it scales."""
    yield _allow(
        ["sagemaker:DescribeEndpoint", "sagemaker:UpdateEndpointWeightsAndCapacities"],
        *_endpoints(resources),
    )
    regions = {Aws.REGION, *(each for found in resources.regions.values() for each in found)}
    ours = {"StringEquals": {"application-autoscaling:service-namespace": "sagemaker"}}
    yield iam.PolicyStatement(
        actions=[
            "application-autoscaling:RegisterScalableTarget",
            "application-autoscaling:PutScheduledAction",
        ],
        resources=[
            _arn("application-autoscaling", "scalable-target/*", region)
            for region in sorted(regions)
        ],
        conditions=None if resources.stage.emulated else ours,
    )


def _deliveries(access: Access, resources: Resources) -> Iterator[iam.PolicyStatement]:
    if access.asks_callbacks:
        yield _allow(["sqs:SendMessage"], resources.callback_queue.queue_arn)
    if access.fetches_signals and resources.stage.signal_secrets:
        # A complete ARN ends in six characters of Secrets Manager's own; a name doesn't know them.
        arns = [
            secret
            if secret.startswith("arn:")
            else _arn("secretsmanager", f"secret:{secret}-??????")
            for secret in resources.stage.signal_secrets.values()
        ]
        yield _allow(["secretsmanager:GetSecretValue"], *arns)


def _secrets(access: Access, resources: Resources) -> Iterator[iam.PolicyStatement]:
    read = [
        *([resources.signing_secret] if access.signs else []),
        *([resources.key_pepper] if access.knows_keys else []),
    ]
    # The emulator asks for the right to every secret, whichever is read.
    arns = ["*"] if resources.stage.emulated else [secret.secret_arn for secret in read]
    if read:
        yield _allow(["secretsmanager:GetSecretValue"], *arns)


def _executions(access: Access, resources: Resources) -> Iterator[iam.PolicyStatement]:
    if access.starts_batches:
        yield _allow(["states:StartExecution"], resources.state_machine_arn)
    if access.answers_batches:
        # AWS knows by the token whose state waits; the emulator doesn't, and wants the right for all.
        owner = "*" if resources.stage.emulated else resources.state_machine_arn
        yield _allow(["states:SendTaskSuccess"], owner)
    if access.redrives_batches:
        rights = ["states:DescribeExecution", "states:RedriveExecution"]
        yield _allow(rights, resources.executions_arn)
        yield _allow(["states:ListExecutions"], resources.state_machine_arn)


def _key(access: Access, key: kms.IKey | None, alias: str | None) -> Iterator[iam.PolicyStatement]:
    """What `access` takes of the key, by the services that hold what it names."""
    if key is None:
        return
    writes = {
        "dynamodb": bool(access.writes or access.updates or access.deletes),
        "s3": bool(access.writes_objects or access.writes_beside_drops),
        "sqs": access.sends,
    }
    reads = {
        "dynamodb": bool(access.tables),
        "s3": access.touches_objects,
        "sqs": access.sends,  # SQS has a data key decrypted that it has made before
        "secretsmanager": access.signs or access.knows_keys,
    }
    yield from through(key, [name for name, does in reads.items() if does], READS, alias)
    yield from through(key, [name for name, does in writes.items() if does], WRITES, alias)


def _allow(actions: list[str], *resources: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=actions, resources=list(resources))


def _arn(service: str, rest: str, region: str = Aws.REGION) -> str:
    return f"arn:{Aws.PARTITION}:{service}:{region}:{Aws.ACCOUNT_ID}:{rest}"
