"""When AWS fails: whose fault it is said to be, and what is tried again."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import (
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    IncompleteReadError,
    NoCredentialsError,
    ReadTimeoutError,
    ResponseStreamingError,
)
from botocore.httpsession import URLLib3Session

from offpeak.aws.connect import Aws, SettingMissing
from offpeak.aws.errors import translated
from offpeak.core.errors import InvalidRequest, MultipartGone, NotFound, StateConflict, Unavailable
from offpeak.core.ids import ACCOUNT, BATCH
from offpeak.core.ports import Add, Save
from tests.contract import rows
from tests.contract.aws_world import AwsWorld


def refusal(code: str, status: int = 400, reasons: tuple[str, ...] = ()) -> ClientError:
    answer: Any = {"Error": {"Code": code, "Message": "no"}}
    answer["ResponseMetadata"] = {"HTTPStatusCode": status}
    if reasons:
        answer["CancellationReasons"] = [{"Code": reason} for reason in reasons]
    return ClientError(answer, "Operation")


CANCELED = "TransactionCanceledException"
URL = {"endpoint_url": "http://localhost"}


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (refusal("ConditionalCheckFailedException"), StateConflict),
        (refusal("TransactionConflictException"), StateConflict),
        (refusal(CANCELED, reasons=("None", "ConditionalCheckFailed")), StateConflict),
        (refusal(CANCELED, reasons=("TransactionConflict", "None")), StateConflict),
        (refusal(CANCELED, reasons=("ThrottlingError", "None")), Unavailable),
        (refusal("TransactionInProgressException"), Unavailable),
        (refusal("NoSuchKey", 404), NotFound),
        (refusal("404", 404), NotFound),
        (refusal("NoSuchUpload", 404), MultipartGone),
        (refusal("EntityTooSmall"), InvalidRequest),
        (refusal("InvalidPartOrder"), InvalidRequest),
        (refusal("ThrottlingException"), Unavailable),
        (refusal("ProvisionedThroughputExceededException"), Unavailable),
        (refusal("SlowDown", 503), Unavailable),
        (refusal("Unheard", 500), Unavailable),
        (refusal("Unheard", 429), Unavailable),
        (ReadTimeoutError(**URL), Unavailable),
        (ConnectTimeoutError(**URL), Unavailable),
        (EndpointConnectionError(**URL), Unavailable),
        (ResponseStreamingError(error="broken"), Unavailable),
        (IncompleteReadError(actual_bytes=1, expected_bytes=2), Unavailable),
        (refusal("AccessDeniedException", 403), ClientError),
        (refusal("ResourceNotFoundException"), ClientError),
        (refusal(CANCELED, reasons=("None", "ValidationError")), ClientError),
        (NoCredentialsError(), NoCredentialsError),
    ],
)
def test_a_fault_is_named_by_who_can_do_something_about_it(
    error: Exception, ours: type[Exception]
) -> None:
    with pytest.raises(ours) as caught, translated("file file-1"):
        raise error
    assert type(caught.value) is ours


def test_a_conflict_has_the_same_code_wherever_it_comes_from() -> None:
    with pytest.raises(StateConflict) as caught, translated("run batch_1.0"):
        raise refusal(CANCELED, reasons=("TransactionConflict",))
    assert caught.value.code == "write_conflict"


def test_a_port_says_which_variable_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    with pytest.raises(SettingMissing, match="OFFPEAK_TABLE_FILES"):
        _ = Aws({"OFFPEAK_TABLE_ACCOUNTS": "accounts"}).files


@pytest.fixture
def lost_answers(on_aws: AwsWorld) -> Iterator[list[str]]:
    """DynamoDB does what it is asked, and each call's first answer is lost on its way back."""
    client = on_aws.aws.changes._client
    lost: list[str] = []

    def lose(request: AWSPreparedRequest, event_name: str, **_: Any) -> None:
        if b"attempt=1" in request.headers["amz-sdk-request"]:
            URLLib3Session().send(request)
            lost.append(event_name)
            raise ReadTimeoutError(endpoint_url=request.url)

    for operation in ("PutItem", "TransactWriteItems"):
        client.meta.events.register(f"before-send.dynamodb.{operation}", lose)
    yield lost
    for operation in ("PutItem", "TransactWriteItems"):
        client.meta.events.unregister(f"before-send.dynamodb.{operation}", lose)


@pytest.mark.cloud
def test_a_write_whose_answer_was_lost_is_no_conflict_with_itself(
    on_aws: AwsWorld, lost_answers: list[str]
) -> None:
    account, batch_id = rows.account(), rows.fresh(BATCH)
    on_aws.aws.changes.commit(Add(account))
    on_aws.aws.changes.commit(Save(replace(account, version=1, name="renamed")))
    on_aws.aws.changes.commit(Add(rows.run(batch_id)), Add(rows.shard(batch_id)))
    assert len(lost_answers) == 3
    assert on_aws.aws.accounts.get(account.id) == replace(account, name="renamed", version=2)
    assert on_aws.aws.runs.get(batch_id, 0).version == 1


@pytest.mark.cloud
def test_a_deletion_whose_answer_was_lost_is_no_conflict_with_itself(
    on_aws: AwsWorld, lost_answers: list[str]
) -> None:
    file = rows.file(rows.fresh(ACCOUNT))
    on_aws.aws.changes.commit(Add(file))
    on_aws.aws.changes.commit(Save(replace(file, version=1).deleted()))
    assert len(lost_answers) == 2
    with pytest.raises(NotFound):
        on_aws.aws.files.get(file.account_id, file.id)


@pytest.mark.cloud
def test_a_lost_answer_does_not_hide_a_real_conflict(
    on_aws: AwsWorld, lost_answers: list[str]
) -> None:
    account = rows.account()
    on_aws.aws.changes.commit(Add(account))
    lost_answers.clear()
    with pytest.raises(StateConflict):
        on_aws.aws.changes.commit(Add(account))


class BreakingBucket(ThreadingHTTPServer):
    """Serves one object as S3 does, but hangs up after `breaks_after` bytes of every answer."""

    daemon_threads = True

    def __init__(self, body: bytes, breaks_after: int) -> None:
        super().__init__(("127.0.0.1", 0), _BreakingHandler)
        self.body = body
        self.breaks_after = breaks_after
        self.ranges: list[str | None] = []


class _BreakingHandler(BaseHTTPRequestHandler):
    server: BreakingBucket

    def do_GET(self) -> None:
        etag = f'"{hashlib.md5(self.server.body).hexdigest()}"'
        asked = self.headers["Range"]
        self.server.ranges.append(asked)
        if self.headers["If-Match"] not in (None, etag):
            answer = b"<Error><Code>PreconditionFailed</Code><Message>no</Message></Error>"
            self.send_response(412)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)
            return
        start, stop = re.fullmatch(r"bytes=(\d+)-(\d*)", asked or "bytes=0-").groups()  # type: ignore[union-attr]
        body = self.server.body[int(start) : int(stop) + 1 if stop else None]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", etag)
        self.end_headers()
        self.wfile.write(body[: self.server.breaks_after])
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        """Quietly."""


@pytest.fixture
def breaking_bucket() -> Iterator[BreakingBucket]:
    with BreakingBucket(bytes(range(256)) * 16_384, breaks_after=1_500_000) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def breaking_aws(breaking_bucket: BreakingBucket, monkeypatch: pytest.MonkeyPatch) -> Aws:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{breaking_bucket.server_port}")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return Aws({"OFFPEAK_BUCKET": "bucket"})


def test_a_stream_that_breaks_off_goes_on_where_it_stopped(
    breaking_bucket: BreakingBucket, breaking_aws: Aws
) -> None:
    body = breaking_bucket.body
    assert b"".join(breaking_aws.reader.stream("key", 10, 4_000_000)) == body[10:4_000_000]
    starts = [int(re.findall(r"\d+", asked or "0")[0]) for asked in breaking_bucket.ranges]
    assert starts[0] == 10
    assert starts == sorted(set(starts))
    assert len(starts) > 2


def test_an_object_that_was_replaced_is_not_read_half_and_half(
    breaking_bucket: BreakingBucket, breaking_aws: Aws
) -> None:
    stream = breaking_aws.reader.stream("key")
    next(stream)
    breaking_bucket.body = breaking_bucket.body[::-1]
    with pytest.raises(Unavailable):
        list(stream)


def test_a_stream_that_never_moves_gives_up(
    breaking_bucket: BreakingBucket, breaking_aws: Aws
) -> None:
    breaking_bucket.breaks_after = 0
    with pytest.raises(Unavailable):
        breaking_aws.reader.read("key")
    assert len(breaking_bucket.ranges) < 10
