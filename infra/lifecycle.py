"""What carries a batch from its creation to its end: the functions, the state machine, and what calls them."""

from __future__ import annotations

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda_event_sources as sources
from aws_cdk import aws_logs as logs
from aws_cdk import aws_sqs as sqs
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from infra.access import PROCESS_BATCH
from infra.encryption import READS, through
from infra.function import Assets, Function
from infra.process_batch import ProcessBatch
from infra.queues import Queues
from infra.rights import Resources
from infra.sizes import SIZES
from infra.stage import Stage
from offpeak.core.ports.metrics import MEASURE_SECONDS
from offpeak.core.webhook import EVENT_TYPES

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
