"""Redriving, which the emulator can't: held to Step Functions' own model of the calls and their answers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from botocore.stub import ANY, Stubber

from offpeak.aws.workflows import StepFunctions
from offpeak.core.errors import Unavailable

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:offpeak-prod-process-batch"
EXECUTION = "arn:aws:states:us-east-1:123456789012:execution:offpeak-prod-process-batch:batch_1"
STOPPED = datetime(2026, 11, 21, 12, tzinfo=UTC)
LATER = STOPPED.timestamp() + 1


class Answers:
    """What Step Functions will say, call by call."""

    def __init__(self) -> None:
        client = boto3.client(
            "stepfunctions",
            region_name="us-east-1",
            aws_access_key_id="k",
            aws_secret_access_key="s",
        )
        self.stubber = Stubber(client)
        self.workflows = StepFunctions(client, MACHINE)
        self.more: str | None = None

    def described(self, status: str, **more: Any) -> None:
        answer: dict[str, Any] = {
            "executionArn": EXECUTION,
            "stateMachineArn": MACHINE,
            "status": status,
            "startDate": STOPPED - timedelta(hours=1),
            **more,
        }
        self.stubber.add_response("describe_execution", answer, {"executionArn": EXECUTION})

    def failed(self, **more: Any) -> None:
        self.described("FAILED", **{"stopDate": STOPPED, "redriveStatus": "REDRIVABLE", **more})

    def listed(self, status: str, *stopped: datetime, more: str | None = None) -> None:
        """A page of the list: executions called as the hour when they stopped."""
        executions = [
            {
                "executionArn": EXECUTION, "stateMachineArn": MACHINE, "name": f"batch_{at.hour}",
                "status": status, "startDate": STOPPED - timedelta(days=2), "stopDate": at,
            }
            for at in stopped
        ]  # fmt: skip
        asked = {"stateMachineArn": MACHINE, "statusFilter": status, "maxResults": ANY}
        self.stubber.add_response(
            "list_executions", {"executions": executions, **({"nextToken": more} if more else {})},
            asked | ({"nextToken": self.more} if self.more else {}),
        )  # fmt: skip
        self.more = more


@pytest.fixture
def answers() -> Iterator[Answers]:
    answers = Answers()
    with answers.stubber:
        yield answers
        answers.stubber.assert_no_pending_responses()


@pytest.mark.parametrize("status", ["FAILED", "TIMED_OUT"])
def test_a_failed_execution_is_redriven(status: str, answers: Answers) -> None:
    answers.described(status, stopDate=STOPPED, redriveStatus="REDRIVABLE")
    redriven = {"redriveDate": STOPPED}
    answers.stubber.add_response("redrive_execution", redriven, {"executionArn": EXECUTION})
    assert answers.workflows.redrive("batch_1", ended_before=LATER)


def test_one_that_failed_a_moment_ago_is_left_alone(answers: Answers) -> None:
    answers.failed()
    assert not answers.workflows.redrive("batch_1", ended_before=STOPPED.timestamp())


@pytest.mark.parametrize("status", ["RUNNING", "SUCCEEDED", "ABORTED"])
def test_one_that_runs_has_succeeded_or_was_stopped_by_hand_is_left_alone(
    status: str, answers: Answers
) -> None:
    answers.described(status)
    assert not answers.workflows.redrive("batch_1", ended_before=LATER)


def test_one_that_is_too_old_to_be_redriven_is_told_of(answers: Answers) -> None:
    answers.failed(redriveStatus="NOT_REDRIVABLE", redriveStatusReason="It is over 14 days old.")
    with pytest.raises(Unavailable, match="over 14 days old"):
        answers.workflows.redrive("batch_1", ended_before=LATER)


def test_of_two_that_redrive_at_once_one_finds_it_running(answers: Answers) -> None:
    answers.failed()
    answers.stubber.add_client_error("redrive_execution", "ExecutionNotRedrivable")
    assert not answers.workflows.redrive("batch_1", ended_before=LATER)


def test_one_that_was_never_started_is_not_redriven(answers: Answers) -> None:
    answers.stubber.add_client_error("describe_execution", "ExecutionDoesNotExist")
    assert not answers.workflows.redrive("batch_1", ended_before=LATER)


def test_where_nothing_can_be_redriven_that_is_told(answers: Answers) -> None:
    answers.failed()
    answers.stubber.add_client_error("redrive_execution", "InvalidAction")
    with pytest.raises(Unavailable, match="can't be redriven here"):
        answers.workflows.redrive("batch_1", ended_before=LATER)


def test_failed_and_timed_out_executions_are_listed_page_by_page(answers: Answers) -> None:
    hours = [STOPPED + timedelta(hours=n) for n in range(-2, 3)]
    answers.listed("FAILED", *hours[:2], more="next")
    answers.listed("FAILED", hours[2])
    answers.listed("TIMED_OUT", *hours[3:])
    found = answers.workflows.failed(
        ended_after=hours[0].timestamp(), ended_before=hours[4].timestamp()
    )
    assert list(found) == ["batch_11", "batch_12", "batch_13"]


def test_a_list_that_is_throttled_is_unavailable(answers: Answers) -> None:
    answers.stubber.add_client_error("list_executions", "ThrottlingException")
    with pytest.raises(Unavailable):
        list(answers.workflows.failed(ended_after=0, ended_before=LATER))
