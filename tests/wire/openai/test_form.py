"""A form says the same in whatever pieces it comes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.errors import InvalidRequest
from offpeak.wire.openai.form import (
    AROUND_FILES_BYTES_MAX,
    FileBegun,
    FormField,
    FormReader,
    parse_form,
    read_form,
)

BOUNDARY = "b0undary"
KIND = f"multipart/form-data; boundary={BOUNDARY}"
PURPOSE = b'Content-Disposition: form-data; name="purpose"\r\n\r\nbatch'
# What looks like a boundary, whole or cut off, is content as long as it isn't one.
TRICKY = st.lists(
    st.sampled_from([b"\r", b"\n", b"-", b"--", b"b0", b"\r\n--b0undar", b"\r\n--", b"x" * 40]),
    max_size=30,
).map(b"".join)


def file_part(content: bytes) -> bytes:
    head = b'Content-Disposition: form-data; name="file"; filename="a.jsonl"\r\nContent-Type: a/b'
    return head + b"\r\n\r\n" + content


def form(*parts: bytes) -> bytes:
    mark = f"--{BOUNDARY}".encode()
    return b"".join(mark + b"\r\n" + part + b"\r\n" for part in parts) + mark + b"--\r\n"


def cut(body: bytes, places: Sequence[int]) -> list[bytes]:
    at = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:stop] for start, stop in pairwise(at)]


@given(
    content=st.one_of(TRICKY, st.binary(max_size=300)),
    places=st.lists(st.integers(0, 2_000)),
    file_first=st.booleans(),
)
def test_a_form_is_the_same_however_it_is_cut_and_ordered(
    content: bytes, places: list[int], file_first: bool
) -> None:
    parts = (file_part(content), PURPOSE) if file_first else (PURPOSE, file_part(content))
    events = list(read_form(cut(form(*parts), places), KIND))
    told = [event for event in events if not isinstance(event, bytes)]
    expected = [FormField("purpose", "batch"), FileBegun("file", "a.jsonl")]
    assert told == (expected[::-1] if file_first else expected)
    assert b"".join(event for event in events if isinstance(event, bytes)) == content


@given(content=TRICKY, places=st.lists(st.integers(0, 2_000)))
def test_the_whole_form_and_the_pieces_say_the_same(content: bytes, places: list[int]) -> None:
    body = form(PURPOSE, file_part(content))
    whole = parse_form(body, KIND)
    assert whole.files["file"].content == content
    assert whole.fields == {"purpose": "batch"}
    pieces = list(read_form(cut(body, places), KIND))
    assert b"".join(event for event in pieces if isinstance(event, bytes)) == content


def test_a_files_bytes_are_told_as_they_come_and_not_held() -> None:
    reader = FormReader(KIND)
    reader.feed(form(PURPOSE, file_part(b""))[: -len(f"\r\n--{BOUNDARY}--\r\n")])
    for _ in range(50):
        told = reader.feed(b"x" * 100_000)
        assert b"".join(event for event in told if isinstance(event, bytes)) == b"x" * 100_000


@pytest.mark.parametrize("length", [3, 40, 200])
def test_a_form_that_is_cut_off_is_refused_at_its_end(length: int) -> None:
    body = form(PURPOSE, file_part(b"content"))
    with pytest.raises(InvalidRequest) as caught:
        list(read_form([body[: len(body) - length]], KIND))
    assert caught.value.code == "invalid_multipart"


def test_what_stands_around_the_files_is_bounded() -> None:
    whole = form(PURPOSE, file_part(b"x" * (AROUND_FILES_BYTES_MAX + 1)))
    assert len(list(read_form([whole], KIND))) > 2
    endless = [whole, *[b"after the end" * 10_000] * 30]
    with pytest.raises(InvalidRequest, match="around its files"):
        list(read_form(endless, KIND))


def test_a_field_is_bounded_as_it_comes() -> None:
    reader = FormReader(KIND)
    reader.feed(f"--{BOUNDARY}\r\n".encode() + PURPOSE)
    with pytest.raises(InvalidRequest, match="more than 8192 bytes"):
        reader.feed(b"x" * 9_000)


def test_a_file_that_comes_twice_is_refused_when_its_second_begins() -> None:
    with pytest.raises(InvalidRequest) as caught:
        list(read_form([form(file_part(b"a"), file_part(b"b"))], KIND))
    assert caught.value.code == "duplicate_parameter"
