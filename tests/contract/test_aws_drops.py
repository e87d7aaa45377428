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
QUOTED = "drop/acct_1/a+b%2B%C3%BC.jsonl"


def test_a_drop_that_is_put_back_is_an_event_again() -> None:
    client = boto3.client(
        "sqs", region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
    )
    place = {"bucket": {"name": "bucket"}, "object": {"key": QUOTED}}
    event = json.dumps({"Records": [{"s3": place}]})
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
    assert parse_drop_event(event, "bucket") == [KEY]


def test_s3s_own_notice_has_the_key_quoted() -> None:
    """https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html"""
    record = {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": "us-west-2",
        "eventTime": "1970-01-01T00:00:00.000Z",
        "eventName": "ObjectCreated:Put",
        "userIdentity": {"principalId": "AIDAJDPLRKLG7UEXAMPLE"},
        "requestParameters": {"sourceIPAddress": "172.16.0.1"},
        "responseElements": {"x-amz-request-id": "C3D13FE58DE4C810"},
        "s3": {
            "s3SchemaVersion": "1.0",
            "configurationId": "testConfigRule",
            "bucket": {
                "name": "bucket", "ownerIdentity": {"principalId": "A3NL1KOZZKExample"},
                "arn": "arn:aws:s3:::bucket",
            },
            "object": {
                "key": QUOTED, "size": 1024, "eTag": "d41d8cd98f00b204e9800998ecf8427e",
                "sequencer": "0055AED6DCD90281E5",
            },
        },
    }  # fmt: skip
    notice = json.dumps({"Records": [record]})
    assert parse_drop_event(notice, "bucket") == [KEY]
    assert parse_drop_event(notice, "another") == []


def test_s3s_greeting_is_about_no_object() -> None:
    greeting = {
        "Service": "Amazon S3", "Event": "s3:TestEvent", "Time": "2014-10-13T15:57:02.089Z",
        "Bucket": "bucket", "RequestId": "5582815E1AEA5ADF", "HostId": "8cLeGAmw098X5cv4Zkwcmo8",
    }  # fmt: skip
    assert parse_drop_event(json.dumps(greeting), "bucket") == []


@pytest.mark.parametrize("body", ["", "{}", '{"Records": [{"s3": {"bucket": {}}}]}', "[]"])
def test_what_is_no_such_notice_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_drop_event(body, "bucket")
