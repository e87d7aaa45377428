"""Executions of `process_batch` on Step Functions, and the answers its waiting states get."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from offpeak.aws.errors import code_of, translated
from offpeak.core.errors import TooLarge, Unavailable
from offpeak.core.ports import PAYLOAD_BYTES_MAX

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient
    from mypy_boto3_stepfunctions.literals import ExecutionStatusType

_FAILED: tuple[ExecutionStatusType, ...] = ("FAILED", "TIMED_OUT")
_UNKNOWN = "InvalidAction"
"""The local cloud's emulator doesn't know how to redrive."""
_PAGE_ROWS, _LISTED_MAX = 1_000, 2_000
"""Of each status, the latest first. What is redriven leaves the list; what is too old for it stays for 90 days."""
_ANSWERED = frozenset({"TaskTimedOut", "TaskDoesNotExist", "InvalidToken"})


class StepFunctions:
    def __init__(self, client: SFNClient, state_machine_arn: str) -> None:
        self._client = client
        self._state_machine_arn = state_machine_arn

    def start(self, name: str, payload: Mapping[str, Any]) -> None:
        with translated(f"execution {name}"):
            try:
                self._client.start_execution(
                    stateMachineArn=self._state_machine_arn, name=name, input=_as_json(payload)
                )
            except ClientError as error:
                if code_of(error) != "ExecutionAlreadyExists":
                    raise

    def failed(self, *, ended_after: float, ended_before: float) -> Iterator[str]:
        pages = self._client.get_paginator("list_executions")
        for status in _FAILED:
            with translated("failed executions"):
                listed = pages.paginate(
                    stateMachineArn=self._state_machine_arn, statusFilter=status,
                    PaginationConfig={"MaxItems": _LISTED_MAX, "PageSize": _PAGE_ROWS},
                )  # fmt: skip
                found = [each for page in listed for each in page["executions"]]
            for each in found:
                if ended_after < each["stopDate"].timestamp() < ended_before:
                    yield each["name"]

    def redrive(self, name: str, *, ended_before: float) -> bool:
        arn = f"{self._state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
        with translated(f"execution {name}"):
            try:
                found = self._client.describe_execution(executionArn=arn)
                if found["status"] not in _FAILED or found["stopDate"].timestamp() >= ended_before:
                    return False
                if found.get("redriveStatus") == "NOT_REDRIVABLE":
                    reason = found.get("redriveStatusReason", "it is too old")
                    raise Unavailable(
                        f"Execution {name} has failed and can't be redriven: {reason}"
                    )
                self._client.redrive_execution(executionArn=arn)
            except ClientError as error:
                if code_of(error) in {"ExecutionDoesNotExist", "ExecutionNotRedrivable"}:
                    return False  # never started, or redriven by another a moment ago
                if code_of(error) == _UNKNOWN:
                    raise Unavailable(f"Execution {name} can't be redriven here.") from error
                raise
        return True

    def answer(self, task_token: str, output: Mapping[str, Any]) -> None:
        with translated("waiting state"):
            try:
                self._client.send_task_success(taskToken=task_token, output=_as_json(output))
            except ClientError as error:
                if code_of(error) not in _ANSWERED:
                    raise


def _as_json(payload: Mapping[str, Any]) -> str:
    """Raises TypeError for what is no JSON, TooLarge for too much of it."""
    text = json.dumps(payload, separators=(",", ":"))
    if len(text.encode()) > PAYLOAD_BYTES_MAX:
        raise TooLarge(f"A state's payload has at most {PAYLOAD_BYTES_MAX} bytes.")
    return text
