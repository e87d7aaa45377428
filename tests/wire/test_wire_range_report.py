import json
from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.request_line import LineError
from offpeak.planner.cut_shards import SPAN_LINES_MAX
from offpeak.wire.batch_errors import encode_batch_errors
from offpeak.wire.range_report import (
    HASH_BYTES,
    ID_BYTES,
    BadRecord,
    GoodSpan,
    LineIndex,
    Record,
    Trailer,
    UnlistedSpan,
    decode_records,
    decode_trailer,
    encode_id,
    encode_record,
    encode_trailer,
    sorted_ids,
    trailer_bytes,
)
from offpeak.wire.request_shapes import CUSTOM_ID_CHARACTERS_MAX

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


@given(st.lists(st.text()))
def test_sorted_ids_keep_their_lines(custom_ids: list[str]) -> None:
    ids = [encode_id(custom_id, number) for number, custom_id in enumerate(custom_ids)]
    assert all(len(each) == ID_BYTES for each in ids)
    column = b"".join(sorted_ids(ids))
    rows = [column[at : at + ID_BYTES] for at in range(0, len(column), ID_BYTES)]
    assert rows == sorted(ids)
    for row in rows:
        number = int.from_bytes(row[HASH_BYTES:])
        digest = blake2b(custom_ids[number].encode(), digest_size=HASH_BYTES).digest()
        assert row[:HASH_BYTES] == digest


def test_the_longest_span_with_an_index_is_a_line_that_is_read_back() -> None:
    index = LineIndex(
        [1_000_000] * SPAN_LINES_MAX, ["\x01" * CUSTOM_ID_CHARACTERS_MAX] * SPAN_LINES_MAX
    )
    span = GoodSpan(98, SPAN_LINES_MAX, 10**10, index)
    assert list(decode_records([encode_record(span)])) == [span]


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
