"""What carries a batch from its creation to its end: the functions, the state machine, the queues and the clock."""

from __future__ import annotations

from collections.abc import Mapping

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.access import PROCESS_BATCH
from infra.drops import INGEST_SECONDS
from infra.encryption import READS, encrypt_queue, encrypt_topic, through
from infra.function import Assets, Function, Size
from infra.process_batch import ProcessBatch
from infra.rights import Resources
from infra.stage import Stage
from offpeak.core.ports.metrics import MEASURE_SECONDS
from offpeak.core.webhook import EVENT_TYPES

RECEIVES_MAX = 5
# Requests that come within some seconds share a collection, as many as fit a function's event. Collectors of one lane
# write to one row: a few of them are enough, and more would be in each other's way.
COLLECT_SECONDS = 5
COLLECTED_MAX = 5_000
COLLECTORS_MAX = 4
SWEEP_MINUTES = 1
EXPIRY_MINUTES = 5
SIGNAL_MINUTES = 60
MEASURE_MINUTES = MEASURE_SECONDS // 60
# A look each minute, for work that must not wait; a new plan every five, or when the look finds enough to change it.
PLAN_MINUTES = 1
DEAD_DAYS = 14
# Who asks for dispatch has just changed a row, and the dispatcher reads an index that follows a moment later.
INDEX_LAG_SECONDS = 1

# A range is 64 MiB and ingest runs at the speed of one core, so one whole vCPU and no more. Planning and closing hold
# sorted hashes or a run's rows; finalising moves 256 MiB by itself, assembling holds a block of each of 128 sources.
SIZES: Mapping[str, Size] = {
    # S3 gives a function 40–75 MB/s: half a vCPU checks more than twice that.
    "validate_range": Size(memory_mb=1_024, timeout_seconds=600),
    "plan_shards": Size(memory_mb=1_769, timeout_seconds=900),
    # A chunk of 192 MiB is held and sorted; the rest of the vCPU's memory is room for lines that are many and short.
    "reorder_shards": Size(memory_mb=1_769, timeout_seconds=600),
    "release_runs": Size(memory_mb=512, timeout_seconds=60),
    "dispatch_shards": Size(memory_mb=512, timeout_seconds=60),
    # Ten notices a call, and hardly anything but waiting; a gathering's has a row to write for each of its lines.
    "complete_shard": Size(memory_mb=512, timeout_seconds=120),
    "close_batch": Size(memory_mb=1_024, timeout_seconds=300),
    "harvest_shards": Size(memory_mb=1_769, timeout_seconds=900),
    # Bytes on their way from S3 to S3, four parts at once.
    "finalize_batch": Size(memory_mb=1_024, timeout_seconds=900),
    "assemble_results": Size(memory_mb=1_024, timeout_seconds=900),
    "announce_batch": Size(memory_mb=256, timeout_seconds=30),
    "fail_batch": Size(memory_mb=256, timeout_seconds=60),
    # Bodies of up to 32 MB at once, and their lines.
    "collect_requests": Size(memory_mb=1_024, timeout_seconds=60),
    "finalize_group": Size(memory_mb=1_769, timeout_seconds=900),
    "sweep_requests": Size(memory_mb=512, timeout_seconds=55),
    "sweep": Size(memory_mb=512, timeout_seconds=55),  # the next sweep starts after 60
    # A packed object is unpacked here, 10 GB in some minutes; results of any size are copied by S3 itself.
    "ingest_drop": Size(memory_mb=1_769, timeout_seconds=INGEST_SECONDS),
    "show_drops": Size(memory_mb=512, timeout_seconds=55),
    "deliver_drop": Size(memory_mb=1_024, timeout_seconds=900),
    "expire_files": Size(memory_mb=512, timeout_seconds=240),
    # Two services, a region after the other, each given some twenty seconds.
    "fetch_signals": Size(memory_mb=256, timeout_seconds=300),
    "measure_pools": Size(memory_mb=512, timeout_seconds=55),  # likewise
    # A plan of 2,000 deadlines and three regions takes a second or two of half a core.
    "plan_capacity": Size(memory_mb=1_024, timeout_seconds=55),
    "queue_deliveries": Size(memory_mb=512, timeout_seconds=60),
    # Ten records; when all are for one receiver that takes nearly ten seconds each.
    "deliver_callbacks": Size(memory_mb=512, timeout_seconds=180),
    "requeue_deliveries": Size(memory_mb=512, timeout_seconds=55),
}


class Queues(Construct):
    """`dispatch` asks for a pool's next shards; `shard_ended` holds SageMaker's notices; `requests` are stand-alone, on
    their way to a shard; `groups` asks whether one has ended; `batch_ended` holds what the event bus announces,
    `callbacks` the attempts to deliver it. `dead` are the names of the queues that hold what was given up."""

    def __init__(
        self, scope: Construct, id: str, *, stage: Stage, key: kms.IKey | None = None
    ) -> None:
        super().__init__(scope, id)
        self._key = key
        self.dead: list[str] = []
        self.dead_of: dict[sqs.IQueue, sqs.Queue] = {}
        # Twice the function's time, not the usual six times: while a record is in flight its pool's group stands still.
        self.dispatch = self._queue(
            stage,
            "Dispatch",
            "dispatch.fifo",
            visibility_seconds=2 * SIZES["dispatch_shards"].timeout_seconds,
        )
        self.shard_ended = self._queue(
            stage,
            "ShardEnded",
            "shard-ended",
            visibility_seconds=6 * SIZES["complete_shard"].timeout_seconds,
        )
        self.batch_ended = self._queue(
            stage,
            "BatchEnded",
            "batch-ended",
            visibility_seconds=6 * SIZES["queue_deliveries"].timeout_seconds,
        )
        self.callbacks = self._queue(
            stage,
            "Callbacks",
            "callbacks",
            visibility_seconds=6 * SIZES["deliver_callbacks"].timeout_seconds,
        )

        self.requests = self._queue(
            stage,
            "Requests",
            "requests",
            visibility_seconds=6 * SIZES["collect_requests"].timeout_seconds,
        )
        self.groups = self._queue(
            stage,
            "Groups",
            "groups",
            visibility_seconds=6 * SIZES["finalize_group"].timeout_seconds,
        )

    def _queue(self, stage: Stage, id: str, name: str, *, visibility_seconds: int) -> sqs.Queue:
        fifo = True if name.endswith(".fifo") else None
        stem = name.removesuffix(".fifo")
        dead_name = stage.named(f"{stem}-dead{'.fifo' if fifo else ''}")
        self.dead.append(dead_name)
        dead = sqs.Queue(
            self,
            f"{id}Dead",
            queue_name=dead_name,
            fifo=fifo,
            retention_period=Duration.days(DEAD_DAYS),
            enforce_ssl=not stage.emulated,
        )
        queue = sqs.Queue(
            self,
            id,
            queue_name=stage.named(name),
            fifo=fifo,
            visibility_timeout=Duration.seconds(visibility_seconds),
            delivery_delay=Duration.seconds(INDEX_LAG_SECONDS)
            if fifo and not stage.emulated
            else None,
            enforce_ssl=not stage.emulated,
            dead_letter_queue=sqs.DeadLetterQueue(queue=dead, max_receive_count=RECEIVES_MAX),
        )
        for each in (queue, dead):
            encrypt_queue(each, self._key)
        self.dead_of[queue] = dead
        return queue


class Notices(Construct):
    """The topics that every endpoint publishes to when an invocation ends, on their way to one queue; `dead` takes what
    could not be put into it."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        stage: Stage,
        queue: sqs.IQueue,
        dead: sqs.IQueue,
        key: kms.IKey | None = None,
    ) -> None:
        super().__init__(scope, id)
        self._key = key
        self.success = self._topic(stage, "Success", "shard-success", queue, dead)
        self.failure = self._topic(stage, "Failure", "shard-failure", queue, dead)

    def _topic(
        self, stage: Stage, id: str, name: str, queue: sqs.IQueue, dead: sqs.IQueue
    ) -> sns.Topic:
        topic = sns.Topic(
            self, id, topic_name=stage.named(name), enforce_ssl=None if stage.emulated else True
        )
        encrypt_topic(topic, self._key)
        topic.add_subscription(
            subscriptions.SqsSubscription(queue, raw_message_delivery=True, dead_letter_queue=dead)
        )
        return topic


class Lifecycle(Construct):
    """`functions` by folder; `state_machine`; and the events that call what the state machine doesn't."""

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        assets: Assets,
        resources: Resources,
        queues: Queues,
        line_bytes_max: int,
    ) -> None:
        super().__init__(scope, id)
        self._resources = resources
        settings = {
            "validate_range": {"OFFPEAK_LINE_BYTES_MAX": str(line_bytes_max)},
            "plan_capacity": resources.stage.plan_settings,
        }
        self.functions = {
            folder: Function(
                self,
                _camel(folder),
                folder=folder,
                size=size,
                assets=assets,
                resources=resources,
                settings=settings.get(folder),
            )
            for folder, size in SIZES.items()
        }
        self.state_machine = self._state_machine(resources.stage)
        self._listen("dispatch_shards", queues.dispatch)
        self._listen("complete_shard", queues.shard_ended)
        self._listen("ingest_drop", resources.drop_queue, batch_size=1)
        self._every(resources.stage, "sweep", SWEEP_MINUTES)
        self._every(resources.stage, "show_drops", SWEEP_MINUTES)
        self._listen("finalize_group", queues.groups)
        self._decrypt("collect_requests")
        self.functions["collect_requests"].resource.add_event_source(
            sources.SqsEventSource(
                queues.requests,
                batch_size=COLLECTED_MAX,
                max_batching_window=Duration.seconds(COLLECT_SECONDS),
                max_concurrency=COLLECTORS_MAX,
                report_batch_item_failures=True,
            )
        )
        self._every(resources.stage, "sweep_requests", SWEEP_MINUTES)
        self._listen("queue_deliveries", queues.batch_ended)
        self._listen("deliver_callbacks", queues.callbacks)
        self._hear_of_endings(resources, queues.batch_ended, queues.dead_of[queues.batch_ended])
        self._every(resources.stage, "requeue_deliveries", SWEEP_MINUTES)
        self._every(resources.stage, "expire_files", EXPIRY_MINUTES)
        self._every(resources.stage, "measure_pools", MEASURE_MINUTES)
        self._every(resources.stage, "plan_capacity", PLAN_MINUTES)
        self._every(resources.stage, "fetch_signals", SIGNAL_MINUTES)

    def _state_machine(self, stage: Stage) -> sfn.StateMachine:
        name = stage.named(PROCESS_BATCH)
        states = ProcessBatch(
            self,
            "ProcessBatch",
            functions={folder: each.resource for folder, each in self.functions.items()},
        )
        return sfn.StateMachine(
            self,
            "StateMachine",
            state_machine_name=name,
            definition_body=sfn.DefinitionBody.from_chainable(states.chain),
            tracing_enabled=not stage.emulated,
            logs=sfn.LogOptions(
                destination=logs.LogGroup(
                    self,
                    "StateMachineLogs",
                    log_group_name=f"/aws/vendedlogs/states/{name}",
                    retention=stage.log_retention,
                    removal_policy=RemovalPolicy.DESTROY,
                    encryption_key=self._resources.key,
                ),
                level=sfn.LogLevel.ERROR,
                include_execution_data=False,
            ),
        )

    def _decrypt(self, folder: str) -> None:
        """What Lambda receives from an encrypted queue is decrypted in the function's name."""
        for statement in through(self._resources.key, ["sqs"], READS):
            self.functions[folder].role.add_to_policy(statement)

    def _listen(self, folder: str, queue: sqs.IQueue, *, batch_size: int = 10) -> None:
        self._decrypt(folder)
        self.functions[folder].resource.add_event_source(
            sources.SqsEventSource(queue, batch_size=batch_size, report_batch_item_failures=True)
        )

    def _hear_of_endings(self, resources: Resources, queue: sqs.IQueue, dead: sqs.IQueue) -> None:
        """By a queue, not by a call: an announcement that can't be taken now is kept, and seen when it can't at all."""
        events.Rule(
            self,
            "BatchEnded",
            rule_name=resources.stage.named("batch-ended"),
            event_bus=resources.event_bus,
            event_pattern=events.EventPattern(source=["offpeak"], detail_type=list(EVENT_TYPES)),
            targets=[targets.SqsQueue(queue, dead_letter_queue=dead)],
        )

    def _every(self, stage: Stage, folder: str, minutes: int) -> None:
        events.Rule(
            self,
            f"Every{_camel(folder)}",
            rule_name=stage.named(folder.replace("_", "-")),
            schedule=events.Schedule.rate(Duration.minutes(minutes)),
            targets=[
                targets.LambdaFunction(
                    self.functions[folder].resource,
                    retry_attempts=0,  # the next time is the retry, and its dead letter: a tick says nothing
                    max_event_age=Duration.minutes(minutes),
                )
            ],
        )


def _camel(folder: str) -> str:
    return "".join(word.capitalize() for word in folder.split("_"))
