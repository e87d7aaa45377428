"""The life of a batch as a chain of states, each named as the function it calls. RunShards calls `release_runs`, and
waits.

                  PlanReordered ◄── ReorderShards ◄── reorder
                         └───────────►┐       ┌───────────┘
    ValidateInput ──► PlanShards ──► Planned ── run ──────► RunShards ──┐   (waits for its task token)
      │ fault           │ fault       ▲  ├────── close ─────────────────┤
      └──► FailBatch ◄──┘             │  └────── announce ───┐          ▼
               └──────────────────────┘                      │       CloseBatch ──► HarvestShards ──► FinalizeBatch
                                                             │                                         ▲   │
                                                             │         AssembleResults ────────────────┘   ▼
                                                             │               ▲                         Finalized
                                                             │               └─────── assemble ──────────┤
                                                             └──► Dropped ◄─────────── end ──────────────┘
                                                                  │     └── yes ──► DeliverDrop
                                                                  └── no ──► AnnounceBatch ◄┘

Retry and Catch are for faults: failed, cancelled and expired batches arrive as data and take the road of done ones.
ValidateInput, ReorderShards, HarvestShards and AssembleResults are inline Maps: over the input's byte ranges, over the
chunks whose order would gain, over what lacks results, and over the chunks of results that are too large for one call:
one round of them joins, two rounds merge. Rows and objects carry everything else; a state's data are ids and a few
hundred small numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct

RANGES_AT_ONCE_MAX = 40
REORDERS_AT_ONCE_MAX = 40
HARVESTS_AT_ONCE_MAX = 40
CHUNKS_AT_ONCE_MAX = 40
# Over the longest window (7 days) and its grace: only a batch that the sweep forgot meets it.
RUN_DAYS_MAX = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How often a fault is tried again. Delays double from a second, with full jitter."""

    attempts: int
    delay_seconds_max: int


# Before any work is done a caller should rather hear of a fault soon. Afterwards results are at stake: an hour of a
# broken dependency must not lose them.
BRIEF = Patience(attempts=4, delay_seconds_max=10)
LONG = Patience(attempts=20, delay_seconds_max=300)

_BATCH = {
    "account_id": sfn.JsonPath.string_at("$.account_id"),
    "batch_id": sfn.JsonPath.string_at("$.batch_id"),
}


class ProcessBatch(Construct):
    """The states over `functions`, which go by their folders' names. `chain` begins at ValidateInput."""

    def __init__(
        self, scope: Construct, id: str, *, functions: Mapping[str, lambda_.IFunction]
    ) -> None:
        super().__init__(scope, id)
        self._functions = functions

        validate = self._validate_input()
        plan = self._plan_shards("PlanShards", is_reordered=False)
        reorder = self._reorder_shards()
        replan = self._plan_shards("PlanReordered", is_reordered=True)
        run = self._run_shards()
        close = self._close_batch()
        harvest = self._harvest_shards()
        finalize = self._call(
            "FinalizeBatch",
            "finalize_batch",
            LONG,
            payload={**_BATCH, "in_chunks": True},
            keep=("next", "chunks"),
            at="$.finalized",
        )
        assemble = self._assemble_results()
        announce = self._call("AnnounceBatch", "announce_batch", LONG)
        fail = self._call("FailBatch", "fail_batch", LONG, keep=("next",), at="$.plan")
        deliver = self._call("DeliverDrop", "deliver_drop", LONG)
        # Results that can't be put into the drop folder are had through the API: that they are there is told anyway.
        deliver.add_catch(announce, result_path=sfn.JsonPath.DISCARD)
        dropped = (
            sfn.Choice(self, "Dropped", state_name="Dropped")
            .when(sfn.Condition.is_present("$.dropped"), deliver.next(announce))
            .otherwise(announce)
        )

        validate.add_catch(fail, result_path=sfn.JsonPath.DISCARD)
        plan.add_catch(fail, result_path=sfn.JsonPath.DISCARD)
        replan.add_catch(fail, result_path=sfn.JsonPath.DISCARD)
        # What could not be reordered runs in the order of the file.
        reorder.add_catch(replan, result_path=sfn.JsonPath.DISCARD)
        run.add_catch(close, errors=[sfn.Errors.TIMEOUT], result_path=sfn.JsonPath.DISCARD)
        run.next(close)
        finalized = (
            sfn.Choice(self, "Finalized", state_name="Finalized")
            .when(sfn.Condition.string_equals("$.finalized.next", "assemble"), assemble)
            .otherwise(dropped)
        )
        assemble.next(finalize)
        close.next(harvest).next(finalize).next(finalized)
        planned = (
            sfn.Choice(self, "Planned", state_name="Planned")
            .when(sfn.Condition.string_equals("$.plan.next", "run"), run)
            .when(sfn.Condition.string_equals("$.plan.next", "close"), close)
            .when(sfn.Condition.string_equals("$.plan.next", "announce"), dropped)
            .when(sfn.Condition.string_equals("$.plan.next", "reorder"), reorder)
            .otherwise(sfn.Fail(self, "UnknownPlan", state_name="UnknownPlan", error="UnknownPlan"))
        )
        reorder.next(replan).next(planned)
        fail.next(planned)  # it may find a batch that was planned after all
        self.chain = validate.next(plan).next(planned)

    def _validate_input(self) -> sfn.Map:
        each = self._call("ValidateRange", "validate_range", BRIEF, payload="$")
        return sfn.Map(
            self,
            "ValidateInput",
            state_name="ValidateInput",
            items_path="$.ranges",
            item_selector={**_BATCH, **_of_each("index", "start", "stop")},
            max_concurrency=RANGES_AT_ONCE_MAX,
            result_path=sfn.JsonPath.DISCARD,
        ).item_processor(each)

    def _plan_shards(self, state: str, *, is_reordered: bool) -> tasks.LambdaInvoke:
        ranges = sfn.JsonPath.array_length(sfn.JsonPath.string_at("$.ranges"))
        return self._call(
            state,
            "plan_shards",
            BRIEF,
            payload={**_BATCH, "ranges": ranges, "is_reordered": is_reordered},
            keep=("next", "chunks"),
            at="$.plan",
        )

    def _reorder_shards(self) -> sfn.Map:
        each = self._call("ReorderChunk", "reorder_shards", BRIEF, payload="$")
        return sfn.Map(
            self,
            "ReorderShards",
            state_name="ReorderShards",
            items_path="$.plan.chunks",
            item_selector={**_BATCH, **_of_each("run", "chunk")},
            max_concurrency=REORDERS_AT_ONCE_MAX,
            result_path=sfn.JsonPath.DISCARD,
        ).item_processor(each)

    def _run_shards(self) -> tasks.LambdaInvoke:
        state = tasks.LambdaInvoke(
            self,
            "RunShards",
            state_name="RunShards",
            lambda_function=self._functions["release_runs"],
            integration_pattern=sfn.IntegrationPattern.WAIT_FOR_TASK_TOKEN,
            payload=sfn.TaskInput.from_object({**_BATCH, "task_token": sfn.JsonPath.task_token}),
            task_timeout=sfn.Timeout.duration(Duration.days(RUN_DAYS_MAX)),
            result_path=sfn.JsonPath.DISCARD,
            retry_on_service_exceptions=False,
        )
        # The backstop is no fault: it ends the wait, and what has no result by then is harvested like any other rest.
        state.add_retry(errors=[sfn.Errors.TIMEOUT], max_attempts=0)
        return _retried(state, LONG)

    def _close_batch(self) -> tasks.LambdaInvoke:
        return self._call("CloseBatch", "close_batch", LONG, keep=("harvest",), at="$.closed")

    def _harvest_shards(self) -> sfn.Map:
        each = self._call("HarvestChunk", "harvest_shards", LONG, payload="$")
        return sfn.Map(
            self,
            "HarvestShards",
            state_name="HarvestShards",
            items_path="$.closed.harvest",
            item_selector={**_BATCH, **_of_each("run", "first", "last")},
            max_concurrency=HARVESTS_AT_ONCE_MAX,
            result_path=sfn.JsonPath.DISCARD,
        ).item_processor(each)

    def _assemble_results(self) -> sfn.Map:
        each = self._call("AssembleChunk", "assemble_results", LONG, payload="$")
        return sfn.Map(
            self,
            "AssembleResults",
            state_name="AssembleResults",
            items_path="$.finalized.chunks",
            item_selector={**_BATCH, **_of_each("kind", "level", "number", "start", "stop")},
            max_concurrency=CHUNKS_AT_ONCE_MAX,
            result_path=sfn.JsonPath.DISCARD,
        ).item_processor(each)

    def _call(
        self,
        state: str,
        folder: str,
        patience: Patience,
        *,
        payload: str | Mapping[str, object] = _BATCH,
        keep: tuple[str, ...] = (),
        at: str = sfn.JsonPath.DISCARD,
    ) -> tasks.LambdaInvoke:
        """A state that calls a function. Of its answer the fields `keep` are kept, in an object at `at`."""
        invoke = tasks.LambdaInvoke(
            self,
            state,
            state_name=state,
            lambda_function=self._functions[folder],
            payload=sfn.TaskInput.from_json_path_at(payload)
            if isinstance(payload, str)
            else sfn.TaskInput.from_object(payload),
            result_selector={field: sfn.JsonPath.object_at(f"$.Payload.{field}") for field in keep}
            or None,
            result_path=at,
            retry_on_service_exceptions=False,
        )
        return _retried(invoke, patience)


def _retried(state: tasks.LambdaInvoke, patience: Patience) -> tasks.LambdaInvoke:
    state.add_retry(
        errors=[sfn.Errors.ALL],
        interval=Duration.seconds(1),
        backoff_rate=2,
        max_attempts=patience.attempts,
        max_delay=Duration.seconds(patience.delay_seconds_max),
        jitter_strategy=sfn.JitterType.FULL,
    )
    return state


def _of_each(*names: str) -> dict[str, str]:
    return {name: sfn.JsonPath.string_at(f"$$.Map.Item.Value.{name}") for name in names}
