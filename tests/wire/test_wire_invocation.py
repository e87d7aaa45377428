import json

import msgspec
import pytest

from offpeak.core.invocation import Outcome, ShardOrder, ShardReport
from offpeak.core.shard import ResultObject, Segment
from offpeak.core.usage import Counts, Usage
from offpeak.wire.invocation import (
    ORDER_BYTES_MAX,
    decode_order,
    decode_report,
    encode_order,
    encode_report,
)


def _order(segments: int, key: str = "files/acct_1/file-1") -> ShardOrder:
    return ShardOrder(
        batch_id="batch_1", account_id="acct_1", run=0, number=7, attempt=2, model="tiny",
        endpoint="/v1/chat/completions", work_prefix="work/batch_1/0/000007/",
        segments=tuple(
            Segment(key=key, start=i * 10, stop=i * 10 + 5, first_line=i * 2 + 1, lines=1)
            for i in range(segments)
        ),
    )  # fmt: skip


REPORT = ShardReport(
    batch_id="batch_1", account_id="acct_1", run=0, number=7, attempt=2, outcome=Outcome.DONE,
    counts=Counts(total=2, completed=1, failed=1), usage=Usage(input_tokens=5, output_tokens=6),
    output=ResultObject(key="work/o", bytes=10, lines=1),
    errors=ResultObject(key="work/e", bytes=11, lines=1),
    resumed_lines=1, seconds=1.5,
)  # fmt: skip


def test_an_order_arrives_as_it_was_sent() -> None:
    assert decode_order(encode_order(_order(500))) == _order(500)


def test_an_order_that_sagemaker_would_refuse_is_not_encoded() -> None:
    with pytest.raises(ValueError, match=str(ORDER_BYTES_MAX)):
        encode_order(_order(10_000))


def test_a_report_arrives_as_it_was_sent() -> None:
    assert decode_report(encode_report(REPORT)) == REPORT
    assert json.loads(encode_report(REPORT))["outcome"] == "done"


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b'{"batch_id":1}', b"not JSON"])
def test_what_is_no_order_and_no_report_is_refused(body: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_order(body)
    with pytest.raises(msgspec.DecodeError):
        decode_report(body)
