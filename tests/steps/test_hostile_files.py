"""Whole files that mean it ill: each is refused in sentences with line numbers, or runs what is good in it, in little
memory."""

from __future__ import annotations

import gzip
import tracemalloc

import pytest

from offpeak.core.batch import BatchStatus, OnInvalid
from offpeak.steps.unpack_drop import UnpackError, unpack
from offpeak.wire.batch_errors import ENTRIES_MAX
from offpeak.wire.jsonl import LINE_BYTES_MAX
from tests.steps.drop_folder import DropFolder
from tests.steps.ingest import Ingest, ingest_of, request_line

MIB = 1 << 20
GOOD = request_line("good") + b"\n"
FILES: dict[str, bytes] = {
    "empty lines": b"\n" * 20_000,
    "blank lines": b" \t\r\n" * 5_000,
    "an endless line": b'{"a":"' + b"x" * (3 * LINE_BYTES_MAX),
    "endless lines": (b"[" * (LINE_BYTES_MAX + 1) + b"\n") * 3,
    "deep": b"[" * 100_000 + b"\n" + b'{"a":' * 50_000 + b"\n",
    "only a byte order mark": b"\xef\xbb\xbf",
    "byte order marks": b"\xef\xbb\xbf\n" * 1_000,
    "utf-16": GOOD.decode().encode("utf-16") * 3,
    "latin-1": '{"custom_id":"é"}\n'.encode("latin-1") * 1_000,
    "raw surrogates": b'{"custom_id":"\xed\xa0\x80"}\n' * 1_000,
    "escaped surrogates": b'{"custom_id":"\\ud800"}\n' * 1_000,
    "nul": b"\0" * 2 * MIB,
    "nul lines": b"\0\n" * 10_000,
    "gzip": gzip.compress(GOOD * 100),
    "zip": b"PK\x03\x04" + b"\0" * 10_000,
    "one array": b"[" + b",".join([GOOD] * 100) + b"]",
    "carriage returns only": GOOD.replace(b"\n", b"") + b"\r" + GOOD,
    "same custom_id": GOOD * 5_000,
    "numbers": b"1e999\n" * 1_000 + b"9" * 100_000 + b"\n",
    "bidirectional marks": '{"custom_id":"\u202e"}\n'.encode() * 1_000,
    "html": b"<html><script>alert(1)</script></html>\n" * 1_000,
    "formulas": b'=HYPERLINK("http://a")\n' * 1_000,
}
"""Each with what a good line can't do without: none runs to its end."""


def made(content: bytes, on_invalid: OnInvalid) -> Ingest:
    found = ingest_of(content, on_invalid)
    found.line_bytes_max = LINE_BYTES_MAX
    return found


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("on_invalid", ["fail", "skip"])
def test_a_hostile_file_ends_in_sentences_and_in_little_memory(
    name: str, on_invalid: OnInvalid
) -> None:
    content = FILES[name]
    ingest = made(content, on_invalid)
    tracemalloc.start()
    try:
        following = ingest.run(4 * MIB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Some chunks, and what a thousand lines are listed with; the memory that stands for S3 is in it too.
    assert peak < 64 * MIB
    if on_invalid == "fail":
        assert following == "announce"
        assert ingest.batch.status is BatchStatus.FAILED
        errors = ingest.errors()
        assert 0 < len(errors) <= ENTRIES_MAX + 1
        for error in errors:
            assert len(error["message"]) < 400
            assert error["message"].isprintable()
            assert error["line"] is None or error["line"] >= 1


@pytest.mark.parametrize("name", FILES)
def test_a_good_line_runs_whatever_stands_around_it(name: str) -> None:
    """Unless it is swallowed: by a line that never ends, or by one that it is a part of."""
    content = FILES[name] + b"\n" + request_line("survivor") + b"\n" + FILES[name]
    ingest = made(content, "skip")
    ingest.run(4 * MIB)
    ran = {custom_id for _, custom_id in ingest.planned_lines().values()}
    assert "survivor" in ran
    assert ran <= {"survivor", "good"}


def test_many_empty_members_of_a_packed_file_are_no_work() -> None:
    """Each is a whole gzip file of nothing: the bytes that go in bound what is done."""
    members = gzip.compress(b"") * 10_000
    assert b"".join(unpack([members])) == b""
    with pytest.raises(UnpackError, match="ends before its data does"):
        list(unpack([members[:-1]]))


DROPPED = {
    "deep": b"[" * 100_000 + b"\n",
    "deep packed": gzip.compress(b'{"url":' * 100_000),
    "blank packed": gzip.compress(b" " * 20 * MIB),
    "no gzip": b"\x1f\x8b\x08" + b"\0" * 1_000,
    "utf-16": GOOD.decode().encode("utf-16"),
    "nul": b"\0" * MIB,
    "url of another kind": b'{"url":{"a":1}}\n',
    "html": FILES["html"],
}


@pytest.mark.parametrize("name", DROPPED)
def test_a_dropped_file_of_any_kind_is_told_of_beside_it(name: str) -> None:
    """An event that raised would come again and again, and end among the dead letters."""
    folder = DropFolder()
    suffix = ".jsonl.gz" if "packed" in name or "gzip" in name else ".jsonl"
    folder.drop(DROPPED[name], key=f"drop/acct_1/a{suffix}")
    assert folder.status()["status"] in {"validating", "failed"}
    assert len(folder.found) == 1


@pytest.mark.parametrize(
    "sidecar",
    [b"[" * 100_000, b'{"metadata":' * 50_000,
     b"\xff\xfe", b"\xef\xbb\xbf{}", b'{"endpoint":"\\ud800"}', b"{}" * 2 * MIB,
     b'{"metadata":{"a":"\\u0000"}}', b'{"completion_window":"' + b"9" * 100_000 + b'h"}'],
)  # fmt: skip
def test_a_sidecar_of_any_kind_is_told_of_too(sidecar: bytes) -> None:
    folder = DropFolder()
    folder.writer.put("drop/acct_1/a.batch.json", sidecar)
    folder.drop()
    assert folder.status()["status"] in {"validating", "refused"}
