import json
from typing import Any

import pytest

from offpeak.wire.notices import InvocationNotice, parse_notice

BATCH = "batch_" + "0" * 28


def message(**more: Any) -> dict[str, Any]:
    return {
        "awsRegion": "us-east-1", "eventTime": "2026-11-20T10:00:00.000Z",
        "receivedTime": "2026-11-20T09:00:00.000Z", "invocationStatus": "Completed",
        "requestParameters": {"endpointName": "e", "inputLocation": "s3://x/y"},
        "responseParameters": {
            "contentType": "application/json", "outputLocation": "s3://ours/work/a.out",
        },
        "inferenceId": f"{BATCH}.1.22.333", "eventVersion": "1.0",
        "eventSource": "aws:sagemaker", "eventName": "InferenceResult",
    } | more  # fmt: skip


def test_a_completed_invocation_names_its_shard_attempt_and_report() -> None:
    assert parse_notice(json.dumps(message()), "ours") == InvocationNotice(
        batch_id=BATCH, run=1, number=22, attempt=333, outcome="completed",
        report_key="work/a.out",
    )  # fmt: skip


def test_snss_envelope_is_unwrapped() -> None:
    envelope = {"Type": "Notification", "MessageId": "m", "Message": json.dumps(message())}
    assert parse_notice(json.dumps(envelope), "ours") == parse_notice(json.dumps(message()), "ours")


def test_a_failed_invocation_says_why_and_needs_no_response() -> None:
    failed = message(
        invocationStatus="Failed", failureReason="out of memory", responseParameters=None
    )
    notice = parse_notice(json.dumps(failed), "ours")
    assert notice is not None
    assert (notice.outcome, notice.reason, notice.report_key) == ("failed", "out of memory", None)


@pytest.mark.parametrize("location", ["s3://theirs/work/a.out", "s3://ours/", "s3://oursnot/k", ""])
def test_a_report_outside_our_bucket_is_none_of_ours(location: str) -> None:
    elsewhere = message(responseParameters={"outputLocation": location})
    notice = parse_notice(json.dumps(elsewhere), "ours")
    assert notice is not None
    assert notice.report_key is None


def test_a_test_notification_is_nothing() -> None:
    assert parse_notice(json.dumps({"eventName": "TestNotification"}), "ours") is None


@pytest.mark.parametrize(
    "body",
    [
        "", "[]", "not json",
        json.dumps(message(invocationStatus="Odd")),
        json.dumps(message(inferenceId=None)),
        json.dumps(message(inferenceId="batch_1.2.3")),
        json.dumps(message(inferenceId="batch_1.a.2.3")),
        json.dumps(message(inferenceId="batch_1.-1.2.3")),
        json.dumps({"Type": "Notification", "Message": "not json"}),
    ],
)  # fmt: skip
def test_anything_else_is_refused(body: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # msgspec's messages are its own
        parse_notice(body, "ours")
