import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.request_line import FinishedLine
from offpeak.core.usage import Usage
from offpeak.wire.checkpoints import decode_record, decode_records, encode_record

TOKENS = st.integers(0, 10**9)
LINES = st.builds(
    FinishedLine,
    number=st.integers(1, 5_000_000),
    kind=st.sampled_from(["output", "error"]),
    result=st.dictionaries(st.text(), st.text()).map(lambda each: json.dumps(each).encode() + b"\n"),
    usage=st.builds(
        Usage, input_tokens=TOKENS, cached_tokens=TOKENS, output_tokens=TOKENS,
        reasoning_tokens=TOKENS,
    ),
)  # fmt: skip


@given(st.lists(LINES), st.integers(1, 200))
def test_records_come_back_in_order_and_byte_for_byte(
    lines: list[FinishedLine], chunk_bytes: int
) -> None:
    stored = b"".join(encode_record(line) for line in lines)
    chunks = [stored[i : i + chunk_bytes] for i in range(0, len(stored), chunk_bytes)]
    assert list(decode_records(chunks)) == lines


@pytest.mark.parametrize("record", [b"", b"{}", b'[1,"other",[0,0,0,0],{}]', b"[1]"])
def test_what_is_no_record_is_refused(record: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decode_record(record)
