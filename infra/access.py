"""Who may touch what: every function's rights in one table. Its policy and its environment both follow from it.

Who writes objects of any size also reads them: a multipart upload ends with a look at what came of it.
What isn't named is refused, and its address isn't in the function's environment either. State is read by key or by
index, and written by `Changes.commit`: nothing scans a table, and the only rows that go are those of deleted files
and webhook endpoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from aws_cdk import Aws
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_secretsmanager as secretsmanager
from aws_cdk import aws_sqs as sqs

from infra.stage import Stage
from infra.storage import TABLES
from offpeak.core.destination import Reach
from offpeak.core.drop import DROP_PREFIX, ERRORS_SUFFIX, OUTPUT_SUFFIX, WRITTEN_SUFFIXES
from offpeak.core.ports.metrics import NAMESPACE

PROCESS_BATCH = "process-batch"
ROW_READS = ["dynamodb:GetItem", "dynamodb:Query"]
ROW_BATCH_READS = ["dynamodb:BatchGetItem"]
ROW_WRITES = ["dynamodb:PutItem"]
ROW_UPDATES = ["dynamodb:UpdateItem"]
ROW_DELETES = ["dynamodb:DeleteItem"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What one process may touch: tables by name, objects by key prefix. In the drop folder that is, by suffix, what
    is named as ours: nobody may write or delete a producer's object. `updates` are tables whose rows are moved without
    being read (docs/decisions/0009)."""

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    updates: tuple[str, ...] = ()
    deletes: tuple[str, ...] = ()
    reads_objects: tuple[str, ...] = ()
    writes_objects: tuple[str, ...] = ()
    deletes_objects: tuple[str, ...] = ()
    writes_beside_drops: bool = False
    clears_beside_drops: bool = False
    puts_back_drops: bool = False
    asks_dispatch: bool = False
    sends_requests: bool = False
    asks_groups: bool = False
    starts_batches: bool = False
    answers_batches: bool = False
    redrives_batches: bool = False
    invokes_endpoints: bool = False
    announces: bool = False
    publishes_metrics: bool = False
    asks_callbacks: bool = False
    signs: bool = False
    calls_out: bool = False

    @property
    def tables(self) -> tuple[str, ...]:
        named = {*self.reads, *self.writes, *self.updates, *self.deletes}
        return tuple(name for name in TABLES if name in named)

    @property
    def touches_objects(self) -> bool:
        beside_drops = self.writes_beside_drops or self.clears_beside_drops
        return bool(
            self.reads_objects or self.writes_objects or self.deletes_objects or beside_drops
        )


ACCESS: Mapping[str, Access] = {
    "api": Access(
        reads=(
            "accounts",
            "files",
            "batches",
            "runs",
            "shards",
            "requests",
            "groups",
            "gatherings",
            "webhooks",
            "deliveries",
            "ledger",
        ),
        writes=(
            "files",
            "batches",
            "runs",
            "shards",
            "requests",
            "groups",
            "idempotency",
            "webhooks",
            "deliveries",
        ),
        updates=("requests",),
        deletes=("files", "webhooks"),
        # In work: where a request's result is, among those of its shard.
        reads_objects=("files/", "uploads/", "results/", "drop/", "work/"),
        # In results: the errors of a batch that failed at once. In work: a request's large body or result, and what
        # tells of a group's members and of cancelled requests.
        writes_objects=(
            "files/",
            "uploads/",
            "results/",
            "work/requests/",
            "work/cancelled/",
            "work/groups/",
        ),
        deletes_objects=("files/", "uploads/", "results/"),
        asks_dispatch=True,
        sends_requests=True,
        asks_groups=True,
        starts_batches=True,
        answers_batches=True,
        announces=True,
        asks_callbacks=True,
        signs=True,
        calls_out=True,
    ),
    "ingest_drop": Access(
        reads=("accounts", "files", "batches"),
        writes=("files", "batches", "idempotency"),
        reads_objects=("drop/", "files/", "results/"),
        # Files: what a packed object is unpacked to. Results: the errors of a batch that failed at once.
        writes_objects=("files/", "results/"),
        writes_beside_drops=True,
        clears_beside_drops=True,
        puts_back_drops=True,
        starts_batches=True,
        announces=True,
    ),
    "show_drops": Access(
        reads=("batches", "runs", "shards"),
        reads_objects=("drop/", "results/"),
        writes_beside_drops=True,
    ),
    "deliver_drop": Access(
        reads=("batches",),
        reads_objects=("drop/", "results/"),
        writes_beside_drops=True,
        clears_beside_drops=True,
    ),
    "validate_range": Access(
        reads=("accounts", "batches"),
        reads_objects=("files/", "drop/", "work/"),
        writes_objects=("work/",),
    ),
    "plan_shards": Access(
        reads=("accounts", "batches", "runs", "ledger"),
        writes=("batches", "runs", "ledger"),
        reads_objects=("files/", "drop/", "work/"),  # a duplicate's line is found by reading it
        writes_objects=("work/", "results/"),
    ),
    "release_runs": Access(
        reads=("batches", "runs", "shards"),
        writes=("batches", "runs", "shards"),
        asks_dispatch=True,
        answers_batches=True,
    ),
    "dispatch_shards": Access(
        reads=("runs", "shards"),
        writes=("runs", "shards"),
        reads_objects=("work/",),
        asks_dispatch=True,
        invokes_endpoints=True,
    ),
    "complete_shard": Access(
        reads=("accounts", "batches", "runs", "shards", "ledger"),
        writes=("runs", "shards", "deliveries", "ledger"),
        updates=("requests",),  # a gathering's results go to the requests they answer
        reads_objects=("work/",),
        asks_dispatch=True,
        asks_groups=True,
        answers_batches=True,
        asks_callbacks=True,  # of what was sent with one
    ),
    "close_batch": Access(
        reads=("batches", "runs", "shards"),
        writes=("batches", "runs", "shards"),
    ),
    "harvest_shards": Access(
        reads=("batches", "runs", "shards"),
        writes=("shards",),
        reads_objects=("files/", "drop/", "work/"),  # a line that never ran gives its custom_id
        writes_objects=("work/",),
    ),
    "finalize_batch": Access(
        reads=("accounts", "batches", "runs", "shards", "ledger"),
        writes=("files", "batches", "shards", "deliveries", "ledger"),
        updates=("requests",),  # what no notice has routed
        reads_objects=("work/", "results/"),
        writes_objects=("results/",),
        asks_groups=True,
        asks_callbacks=True,  # of what was sent with one
    ),
    "announce_batch": Access(
        reads=("files", "batches"),
        deletes_objects=("files/",),  # the input, when its file was deleted while the batch ran
        announces=True,
    ),
    "fail_batch": Access(
        reads=("batches", "runs"),
        writes=("batches",),
        reads_objects=("drop/",),  # whether an input was replaced
        writes_objects=("results/",),
    ),
    "expire_files": Access(
        reads=("files", "batches"),
        writes=("files",),
        deletes=("files",),
        writes_objects=("files/",),  # to abort the upload of one that never was complete
        deletes_objects=("files/", "results/"),
    ),
    "collect_requests": Access(
        reads=("runs", "shards", "gatherings"),
        writes=("batches", "runs", "gatherings", "deliveries"),
        updates=("requests",),  # to expire one that waited too long
        reads_objects=("work/",),
        writes_objects=("work/",),
        sends_requests=True,  # reminders
        starts_batches=True,
        asks_callbacks=True,  # of what expired and was sent with one
    ),
    "finalize_group": Access(
        reads=("requests", "groups"),
        writes=("groups", "deliveries"),
        updates=("requests",),
        reads_objects=("work/",),
        writes_objects=("work/",),
        asks_callbacks=True,  # of what was sent with one
    ),
    "sweep_requests": Access(
        reads=("requests", "groups", "gatherings"),
        writes=("batches", "runs", "groups", "gatherings"),
        updates=("requests",),
        reads_objects=("work/",),
        writes_objects=("work/",),
        asks_groups=True,
        starts_batches=True,
    ),
    "sweep": Access(
        reads=("batches", "runs", "shards"),
        writes=("runs", "shards"),
        asks_dispatch=True,
        starts_batches=True,
        answers_batches=True,
        redrives_batches=True,
    ),
    "measure_pools": Access(reads=("runs", "shards"), publishes_metrics=True),
    "queue_deliveries": Access(
        reads=("batches", "webhooks"), writes=("deliveries",), asks_callbacks=True
    ),
    "deliver_callbacks": Access(
        reads=("webhooks", "deliveries", "requests"),
        writes=("webhooks", "deliveries"),
        reads_objects=("work/",),  # a result that is sent itself, and what it answers
        asks_callbacks=True,
        signs=True,
        calls_out=True,
    ),
    "requeue_deliveries": Access(
        reads=("deliveries",), writes=("deliveries",), asks_callbacks=True
    ),
}

# The container. Its orders come by invocation and its reports go back by SageMaker.
WORKER_ACCESS = Access(
    reads=("runs", "shards"),
    writes=("shards",),
    reads_objects=(
        "files/",
        "drop/",
        "work/",
    ),  # in drop/ lie inputs, and images that requests name
    writes_objects=("work/",),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What an Access is an access to."""

    stage: Stage
    bucket: s3.IBucket
    tables: Mapping[str, dynamodb.ITable]
    dispatch_queue: sqs.IQueue
    drop_queue: sqs.IQueue
    request_queue: sqs.IQueue
    group_queue: sqs.IQueue
    callback_queue: sqs.IQueue
    signing_secret: secretsmanager.ISecret
    event_bus: events.IEventBus
    pools: tuple[str, ...]

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
    variables = {"OFFPEAK_STAGE": resources.stage.name, **_way_out(access, resources)}
    for name in access.tables:
        variables[f"OFFPEAK_TABLE_{name.upper()}"] = resources.tables[name].table_name
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
    if access.invokes_endpoints:
        variables["OFFPEAK_ENDPOINT_PREFIX"] = resources.stage.named("")
    if access.announces:
        variables["OFFPEAK_EVENT_BUS"] = resources.event_bus.event_bus_name
    return variables


def _way_out(access: Access, resources: Resources) -> dict[str, str]:
    """What delivers events to callers' URLs."""
    variables = {}
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
        *_rows(access, resources),
        *_objects(access, resources.bucket),
        *_executions(access, resources),
        *_effects(access, resources),
        *_deliveries(access, resources),
    ):
        role.grant_principal.add_to_principal_policy(statement)


def _rows(access: Access, resources: Resources) -> Iterator[iam.PolicyStatement]:
    for name in access.reads:
        arn = resources.tables[name].table_arn
        indexes = [f"{arn}/index/{index}" for index in TABLES[name].indexes]
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
        names = [resources.stage.named(pool) for pool in resources.pools]
        yield _allow(
            ["sagemaker:InvokeEndpointAsync"],
            *(_arn("sagemaker", f"endpoint/{name}") for name in names),
        )
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


def _deliveries(access: Access, resources: Resources) -> Iterator[iam.PolicyStatement]:
    if access.asks_callbacks:
        yield _allow(["sqs:SendMessage"], resources.callback_queue.queue_arn)
    if access.signs:
        # The emulator asks for the right to every secret, whichever is read.
        secret = "*" if resources.stage.emulated else resources.signing_secret.secret_arn
        yield _allow(["secretsmanager:GetSecretValue"], secret)


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


def _allow(actions: list[str], *resources: str) -> iam.PolicyStatement:
    return iam.PolicyStatement(actions=actions, resources=list(resources))


def _arn(service: str, rest: str) -> str:
    return f"arn:{Aws.PARTITION}:{service}:{Aws.REGION}:{Aws.ACCOUNT_ID}:{rest}"
