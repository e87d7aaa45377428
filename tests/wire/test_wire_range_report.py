import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.request_line import LineError
from offpeak.wire.batch_errors import encode_batch_errors
from offpeak.wire.range_report import (
    ID_BYTES,
    BadRecord,
    GoodSpan,
    LineIndex,
    Record,
    Trailer,
    UnlistedSpan,
    decode_ids,
    decode_records,
    decode_trailer,
    encode_id,
    encode_record,
    encode_trailer,
    trailer_bytes,
)

NUMBERS = st.integers(1, 10**9)
INDEXES = st.builds(LineIndex, st.lists(NUMBERS), st.lists(st.text()))
RECORDS = (
    st.builds(GoodSpan, st.integers(0, 98), NUMBERS, NUMBERS, st.none() | INDEXES)
    | st.builds(UnlistedSpan, NUMBERS, NUMBERS)
    | st.builds(
        BadRecord, NUMBERS, st.text(), st.text(), st.none() | st.text(), st.none() | st.text()
    )
)


@given(st.lists(RECORDS))
def test_records_come_back_in_order(records: list[Record]) -> None:
    stored = b"".join(encode_record(record) for record in records)
    assert list(decode_records([stored[:10], stored[10:]])) == records


@given(st.lists(st.text(), unique=True))
def test_sorted_ids_keep_their_lines(custom_ids: list[str]) -> None:
    ids = sorted(encode_id(custom_id, number) for number, custom_id in enumerate(custom_ids))
    decoded = list(decode_ids(b"".join(ids)))
    assert decoded == sorted(decoded)
    assert sorted(number for _, number in decoded) == list(range(len(custom_ids)))
    assert all(len(each) == ID_BYTES for each in ids)


def test_the_trailer_is_found_from_the_end() -> None:
    trailer = Trailer(
        begin=3, good_lines=5, bad_lines=2, records_bytes=77, models=["a", "b"],
        completion_tokens=[4_096, 17],
    )  # fmt: skip
    stored = b"records and ids" + encode_trailer(trailer)
    assert decode_trailer(stored) == trailer
    assert trailer_bytes(stored[-4:]) == len(stored) - len(b"records and ids")
    assert (trailer.lines, trailer.ids_stop) == (7, 77 + 5 * ID_BYTES)


@pytest.mark.parametrize(("total", "entries"), [(1, 1), (1_000, 1_000), (1_001, 1_001), (9_999, 1_001)])  # fmt: skip
def test_a_failed_batch_lists_a_thousand_errors_and_counts_the_rest(
    total: int, entries: int
) -> None:
    errors = [
        LineError(code="invalid_json_line", message="No.", line=line, param=None)
        for line in range(1, total + 1)
    ]
    listed = json.loads(encode_batch_errors(errors[:1_000], total))
    assert listed["object"] == "list"
    assert len(listed["data"]) == entries
    assert listed["data"][0] == {
        "code": "invalid_json_line",
        "line": 1,
        "message": "No.",
        "param": None,
    }
    if total > 1_000:
        last = listed["data"][-1]
        assert (last["code"], last["line"], last["param"]) == ("more_invalid_lines", None, None)
        assert last["message"].startswith(f"{total - 1_000:,} more lines are invalid")
