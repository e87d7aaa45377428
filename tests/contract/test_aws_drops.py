"""A drop that is put back comes as an event like S3's, some minutes later."""

from __future__ import annotations

import json

import boto3
import pytest
from botocore.stub import Stubber

from offpeak.aws.drops import PAUSE_SECONDS, SqsDrops
from offpeak.core.errors import Unavailable
from offpeak.wire.drop_events import parse_drop_event

KEY = "drop/acct_1/a b+ü.jsonl"


def test_a_drop_that_is_put_back_is_an_event_again() -> None:
    client = boto3.client(
        "sqs", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    event = json.dumps({"detail": {"bucket": {"name": "bucket"}, "object": {"key": KEY}}})
    assert 0 < PAUSE_SECONDS <= 900  # SQS waits no longer
    with Stubber(client) as stub:
        stub.add_response(
            "send_message",
            {"MessageId": "1"},
            {"QueueUrl": "url", "MessageBody": event, "DelaySeconds": PAUSE_SECONDS},
        )
        SqsDrops(client, "url", "bucket").put_back(KEY)
        stub.assert_no_pending_responses()
        stub.add_client_error("send_message", "ThrottlingException", http_status_code=400)
        with pytest.raises(Unavailable):
            SqsDrops(client, "url", "bucket").put_back(KEY)
    assert parse_drop_event(event, "bucket") == KEY


def test_s3s_own_event_says_the_key_as_it_is() -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/ev-events.html"""
    event = {
        "version": "0",
        "id": "17793124-05d4-b198-2fde-7ededc63b103",
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "111122223333",
        "time": "2021-11-12T00:00:00Z",
        "region": "ca-central-1",
        "resources": ["arn:aws:s3:::bucket"],
        "detail": {
            "version": "0",
            "bucket": {"name": "bucket"},
            "object": {
                "key": KEY, "size": 5, "etag": "b1946ac92492d2347c6235b4d2611184",
                "sequencer": "617f08299329d189",
            },
            "request-id": "N4N7GDK58NMKJ12R",
            "requester": "123456789012",
            "source-ip-address": "1.2.3.4",
            "reason": "PutObject",
        },
    }  # fmt: skip
    assert parse_drop_event(json.dumps(event), "bucket") == KEY
    assert parse_drop_event(json.dumps(event), "another") is None


@pytest.mark.parametrize("body", ["", "{}", '{"detail": {"bucket": {"name": "b"}}}', "[]"])
def test_what_is_no_such_event_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_drop_event(body, "bucket")
