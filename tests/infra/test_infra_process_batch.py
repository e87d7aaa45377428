"""The state machine's definition, against the rules of the States Language and against the functions' contracts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from infra.process_batch import LONG
from offpeak.core.batch import TASK_TOKENS_MAX
from offpeak.planner.byte_ranges import workflow_input
from tests.infra.cfn_lint import find_faults
from tests.infra.synthesised import Synthesised
from tests.steps.test_limits_at_scale import INPUT, most_chunks

States = Mapping[str, Mapping[str, Any]]
CALLS = {
    "ValidateRange": "ValidateRange",
    "PlanShards": "PlanShards",
    "ReorderChunk": "ReorderShards",
    "PlanReordered": "PlanShards",
    "RunShards": "ReleaseRuns",
    "CloseBatch": "CloseBatch",
    "HarvestChunk": "HarvestShards",
    "FinalizeBatch": "FinalizeBatch",
    "AssembleChunk": "AssembleResults",
    "DeliverDrop": "DeliverDrop",
    "AnnounceBatch": "AnnounceBatch",
    "FailBatch": "FailBatch",
}


@pytest.fixture(scope="module")
def definition(prod: Synthesised) -> Mapping[str, Any]:
    machines = prod.templates["lifecycle"].find_resources("AWS::StepFunctions::StateMachine")
    [machine] = machines.values()
    _, parts = machine["Properties"]["DefinitionString"]["Fn::Join"]
    parsed: Mapping[str, Any] = json.loads("".join(_named(part) for part in parts))
    return parsed


def _named(part: Any) -> str:
    """A function's ARN by its construct's name; the partition by the usual one."""
    if isinstance(part, str):
        return part
    if part == {"Ref": "AWS::Partition"}:
        return "aws"
    logical_id = part["Fn::GetAtt"][0].removeprefix("Lifecycle")
    return f"arn:aws:lambda:us-east-1:123456789012:function:{logical_id[: logical_id.index('Function')]}"


def _all_states(machine: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for name, state in machine["States"].items():
        yield name, state
        if "ItemProcessor" in state:
            yield from _all_states(state["ItemProcessor"])


def _following(state: Mapping[str, Any]) -> set[str]:
    hops = [state, *state.get("Catch", []), *state.get("Choices", [])]
    return {hop["Next"] for hop in hops if "Next" in hop} | (
        {state["Default"]} if "Default" in state else set()
    )


def test_the_definition_keeps_the_rules_of_the_states_language(
    definition: Mapping[str, Any],
) -> None:
    assert _language_errors(definition) == []


def test_the_check_of_the_language_sees_a_broken_definition(definition: Mapping[str, Any]) -> None:
    broken = json.loads(json.dumps(definition))
    del broken["States"]["PlanShards"]["Resource"]
    assert _language_errors(broken)


def _language_errors(definition: Mapping[str, Any]) -> list[str]:
    machine = {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {
            "RoleArn": "arn:aws:iam::123456789012:role/any",
            "DefinitionString": json.dumps(definition),
        },
    }
    faults = find_faults({"Resources": {"Machine": machine}})
    return [fault for fault in faults if fault.startswith("E3601")]


def test_every_state_is_reached_and_every_step_leads_to_a_state(
    definition: Mapping[str, Any],
) -> None:
    machines = [definition] + [
        state["ItemProcessor"] for _, state in _all_states(definition) if "ItemProcessor" in state
    ]
    for machine in machines:
        states = machine["States"]
        reached: set[str] = set()
        frontier = {machine["StartAt"]}
        while frontier:
            reached |= frontier
            frontier = {n for name in frontier for n in _following(states[name])} - reached
        assert reached == set(states)


def test_each_state_calls_the_function_of_its_name(definition: Mapping[str, Any]) -> None:
    called = {
        name: state["Parameters"]["FunctionName"].rpartition(":")[2]
        for name, state in _all_states(definition)
        if state["Type"] == "Task"
    }
    assert called == CALLS


def test_the_road_of_a_batch_that_runs(definition: Mapping[str, Any]) -> None:
    states = definition["States"]
    assert definition["StartAt"] == "ValidateInput"
    assert states["ValidateInput"]["Next"] == "PlanShards"
    assert states["PlanShards"]["Next"] == "Planned"
    assert {c["StringEquals"]: c["Next"] for c in states["Planned"]["Choices"]} == {
        "run": "RunShards",
        "close": "CloseBatch",
        "announce": "Dropped",
        "reorder": "ReorderShards",
    }
    assert states["RunShards"]["Next"] == "CloseBatch"
    assert states["CloseBatch"]["Next"] == "HarvestShards"
    assert states["HarvestShards"]["Next"] == "FinalizeBatch"
    assert states["FinalizeBatch"]["Next"] == "Finalized"
    [assemble] = states["Finalized"]["Choices"]
    assert (assemble["Variable"], assemble["StringEquals"]) == ("$.finalized.next", "assemble")
    assert (assemble["Next"], states["Finalized"]["Default"]) == ("AssembleResults", "Dropped")
    assert states["AssembleResults"]["Next"] == "FinalizeBatch"
    [dropped] = states["Dropped"]["Choices"]
    assert (dropped["Variable"], dropped["IsPresent"]) == ("$.dropped", True)
    assert (dropped["Next"], states["Dropped"]["Default"]) == ("DeliverDrop", "AnnounceBatch")
    assert states["DeliverDrop"]["Next"] == "AnnounceBatch"
    assert states["AnnounceBatch"]["End"] is True


def test_functions_get_the_payloads_that_they_parse(definition: Mapping[str, Any]) -> None:
    states = dict(_all_states(definition))
    batch = {"account_id.$": "$.account_id", "batch_id.$": "$.batch_id"}
    for name, is_reordered in (("PlanShards", False), ("PlanReordered", True)):
        assert states[name]["Parameters"]["Payload"] == {
            **batch,
            "ranges.$": "States.ArrayLength($.ranges)",
            "is_reordered": is_reordered,
        }
    assert states["RunShards"]["Parameters"]["Payload"] == {
        **batch,
        "task_token.$": "$$.Task.Token",
    }
    assert states["FinalizeBatch"]["Parameters"]["Payload"] == {**batch, "in_chunks": True}
    for name in ("CloseBatch", "DeliverDrop", "AnnounceBatch", "FailBatch"):
        assert states[name]["Parameters"]["Payload"] == batch
    assert set(states["ValidateInput"]["ItemSelector"]) == {
        "account_id.$", "batch_id.$", "index.$", "start.$", "stop.$",
    }  # fmt: skip
    assert set(states["HarvestShards"]["ItemSelector"]) == {
        "account_id.$", "batch_id.$", "run.$", "first.$", "last.$",
    }  # fmt: skip
    assert set(states["ReorderShards"]["ItemSelector"]) == {
        "account_id.$", "batch_id.$", "run.$", "chunk.$",
    }  # fmt: skip
    assert set(states["AssembleResults"]["ItemSelector"]) == {
        "account_id.$", "batch_id.$", "kind.$", "level.$", "number.$", "start.$", "stop.$",
    }  # fmt: skip
    for name in ("ValidateRange", "ReorderChunk", "HarvestChunk", "AssembleChunk"):
        assert states[name]["Parameters"]["Payload.$"] == "$"


def test_nothing_but_the_plan_and_the_chunks_is_kept_in_a_states_data(
    definition: Mapping[str, Any],
) -> None:
    planned = {"next.$": "$.Payload.next", "chunks.$": "$.Payload.chunks"}
    kept = {
        name: (state["ResultPath"], state.get("ResultSelector"))
        for name, state in _all_states(definition)
        if state.get("ResultPath") is not None
    }
    assert kept == {
        "PlanShards": ("$.plan", planned),
        "PlanReordered": ("$.plan", planned),
        "FailBatch": ("$.plan", {"next.$": "$.Payload.next"}),
        "CloseBatch": ("$.closed", {"harvest.$": "$.Payload.harvest"}),
        "FinalizeBatch": (
            "$.finalized",
            {"next.$": "$.Payload.next", "chunks.$": "$.Payload.chunks"},
        ),
    }


def test_every_call_is_tried_again_after_any_fault_with_growing_jittered_delays(
    definition: Mapping[str, Any],
) -> None:
    for name, state in _all_states(definition):
        if state["Type"] == "Task":
            last = state["Retry"][-1]
            assert last["ErrorEquals"] == ["States.ALL"], name
            assert last["JitterStrategy"] == "FULL"
            assert last["BackoffRate"] > 1
            assert last["MaxAttempts"] >= 4


def test_a_fault_before_any_work_fails_the_batch_and_announces_it(
    definition: Mapping[str, Any],
) -> None:
    states = definition["States"]
    for name in ("ValidateInput", "PlanShards", "PlanReordered"):
        assert states[name]["Catch"] == [
            {"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "FailBatch"}
        ]
    assert states["FailBatch"]["Next"] == "Planned"


def test_lines_are_reordered_where_that_pays_and_planned_again_even_if_it_fails(
    definition: Mapping[str, Any],
) -> None:
    states = definition["States"]
    assert states["ReorderShards"]["ItemsPath"] == "$.plan.chunks"
    assert states["ReorderShards"]["Next"] == "PlanReordered"
    assert states["ReorderShards"]["Catch"] == [
        {"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "PlanReordered"}
    ]
    assert states["PlanReordered"]["Next"] == "Planned"


def test_results_that_cannot_be_delivered_are_announced_all_the_same(
    definition: Mapping[str, Any],
) -> None:
    assert definition["States"]["DeliverDrop"]["Catch"] == [
        {"ErrorEquals": ["States.ALL"], "ResultPath": None, "Next": "AnnounceBatch"}
    ]


def test_the_wait_for_the_runs_outlasts_the_longest_window_and_then_harvests(
    definition: Mapping[str, Any],
) -> None:
    run = definition["States"]["RunShards"]
    assert run["Resource"].endswith(":lambda:invoke.waitForTaskToken")
    assert run["TimeoutSeconds"] == 8 * 86_400
    assert run["Retry"][0] == {"ErrorEquals": ["States.Timeout"], "MaxAttempts": 0}
    assert run["Catch"] == [
        {"ErrorEquals": ["States.Timeout"], "ResultPath": None, "Next": "CloseBatch"}
    ]


def test_a_token_is_kept_for_every_try_of_the_wait() -> None:
    assert LONG.attempts + 1 <= TASK_TOKENS_MAX


def test_maps_are_inline_and_bounded(definition: Mapping[str, Any]) -> None:
    for name in ("ValidateInput", "ReorderShards", "HarvestShards", "AssembleResults"):
        state = definition["States"][name]
        assert state["MaxConcurrency"] == 40
        assert state["ItemProcessor"]["ProcessorConfig"] == {"Mode": "INLINE"}


def test_prod_traces_executions_and_logs_errors_without_their_data(prod: Synthesised) -> None:
    prod.templates["lifecycle"].has_resource_properties(
        "AWS::StepFunctions::StateMachine",
        {
            "StateMachineName": "offpeak-prod-process-batch",
            "TracingConfiguration": {"Enabled": True},
            "LoggingConfiguration": {"Level": "ERROR", "IncludeExecutionData": False},
        },
    )


HISTORY_EVENTS_MAX = 25_000
HARVESTS = 200


def test_the_history_of_the_largest_batch_has_room_for_a_retry_of_everything(
    definition: Mapping[str, Any],
) -> None:
    """An iteration of a Map is seven events, and three more a retry; any other state about five."""
    states = dict(_all_states(definition))
    # Ranges, harvests, and chunks of two files, sorted and merged.
    iterations = len(workflow_input(INPUT)["ranges"]) + HARVESTS + 2 * 2 * most_chunks()
    others = 10 * len(states)
    assert iterations * (7 + 3) + others < HISTORY_EVENTS_MAX // 2
    # Not everything fails as often as it is tried; one Map's calls may.
    tries = states["AssembleChunk"]["Retry"][-1]["MaxAttempts"]
    assert iterations * 7 + HARVESTS * 3 * tries + others < HISTORY_EVENTS_MAX
