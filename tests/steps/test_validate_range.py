"""Wherever the ranges are cut, each line is looked at once, and the file is never held."""

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.core.batch import OnInvalid
from offpeak.core.ports import Save
from offpeak.core.usage import Counts
from offpeak.planner.sharing import estimate_cached_share
from offpeak.steps.merge_reports import MergedReports
from offpeak.steps.validate_range import validate_range
from offpeak.wire.jsonl import LINE_BYTES_MAX
from tests.steps.ingest import CATALOGUE, ENDPOINT, Ingest, ingest_of, request_line


@pytest.mark.parametrize("content", [
    request_line("a") + b"\n" + request_line("b"),
    request_line("a") + b"\n" + request_line("b") + b"\n",
    request_line("a") + b"\n" + request_line("b") + b"\n\n",
    request_line("a") + b"\r\n" + request_line("b") + b"\r\n\r\n",
    b"\xef\xbb\xbf" + request_line("a") + b"\n" + request_line("b") + b"\n  ",
])  # fmt: skip
@pytest.mark.parametrize("range_bytes", [1, 7, 1_000])
def test_endings_and_a_byte_order_mark_make_no_difference(content: bytes, range_bytes: int) -> None:
    ingest = ingest_of(content)
    assert ingest.run(range_bytes) == "run"
    assert ingest.planned_lines() == {1: ("one", "a"), 2: ("one", "b")}


@pytest.mark.parametrize("range_bytes", [1, 399, 400, 401, 402, 100_000])
def test_a_line_may_have_exactly_the_bytes_allowed(range_bytes: int) -> None:
    lines = [
        request_line("a"),
        request_line("b").ljust(400),
        request_line("c").ljust(401),
        request_line("d").ljust(400),
    ]
    ingest = ingest_of(b"\n".join(lines), "skip")
    assert ingest.run(range_bytes) == "run"
    assert sorted(ingest.planned_lines()) == [1, 2, 4]
    assert ingest.refused() == {3: (None, "line_too_long")}


@pytest.mark.parametrize("range_bytes", [1, 2, 7, 1_000])
def test_lines_of_one_character_are_lines(range_bytes: int) -> None:
    ingest = ingest_of(
        b"\n".join([b"1", b"{", request_line("a"), b"\xc3", b"x", b"\r"]) + b"\ny", "skip"
    )
    assert ingest.run(range_bytes) == "run"
    assert ingest.planned_lines() == {3: ("one", "a")}
    refused = dict.fromkeys((1, 2, 4, 5, 6, 7), (None, "invalid_json_line"))
    assert ingest.refused() == refused


@pytest.mark.parametrize("range_bytes", [250_000, 1_000_001, 2**20, 10**7])
def test_lines_of_a_megabyte_are_lines(range_bytes: int) -> None:
    """Chunks are of 1 MiB: some lines lie in one, some in two, and one that is too long in several."""
    padded = [request_line(name).ljust(LINE_BYTES_MAX) for name in ("a", "b")]
    lines = [
        request_line("c"),
        *padded,
        request_line("d").ljust(LINE_BYTES_MAX + 1),
        b"x" * 3 * 2**20,
        request_line("e"),
    ]
    ingest = replace(ingest_of(b"\n".join(lines), "skip"), line_bytes_max=LINE_BYTES_MAX)
    assert ingest.run(range_bytes) == "run"
    assert {line: custom_id for line, (_, custom_id) in ingest.planned_lines().items()} == {
        1: "c", 2: "a", 3: "b", 6: "e",
    }  # fmt: skip
    assert ingest.refused() == {4: (None, "line_too_long"), 5: (None, "line_too_long")}


GOOD = st.builds(
    request_line,
    st.integers(0, 30).map(lambda n: f"id-{n}"),
    st.sampled_from(["one", "uno", "two"]),
)


ANY_LINE = GOOD | st.sampled_from(
    [
        b"",
        b"\r",
        b"{",
        b"\xff",
        b"x" * 401,
        b"x" * 2_000,
        request_line("bad", "three"),
        request_line("") + b"\r",
    ]
)


@settings(deadline=None)
@given(
    st.lists(ANY_LINE, max_size=40),
    st.sampled_from([b"", b"\n", b"\n\n", b"\n\n\n"]),
    st.integers(1, 3_000),
)
def test_each_line_runs_or_is_refused_once_wherever_the_ranges_are_cut(
    lines: list[bytes], ending: bytes, range_bytes: int
) -> None:
    content = b"\n".join(lines) + ending
    ingest = ingest_of(content, "skip")
    following = ingest.run(max(range_bytes, len(content) // 200 + 1))
    expected = content.split(b"\n")
    if not expected[-1]:
        expected.pop()
    if expected and not expected[-1].strip() and content:
        expected.pop()
    if not expected:
        assert following == "announce"
        assert [error["code"] for error in ingest.errors()] == ["empty_file"]
        return
    planned = ingest.planned_lines()
    invalid = ingest.batch.invalid_lines
    refused = ingest.refused() if invalid else {}
    assert sorted([*planned, *refused]) == list(range(1, len(expected) + 1))
    assert len(refused) == invalid
    assert ingest.batch.counts == Counts(total=len(expected), failed=invalid)
    assert following == ("run" if planned else "close")
    ids = [custom_id for _, custom_id in planned.values()]
    assert len(ids) == len(set(ids))
    seen: set[str] = set()
    for number, line in enumerate(expected, 1):
        good = line.startswith(b"{") and b"id-" in line
        custom_id = json.loads(line)["custom_id"] if good else ""
        assert (number in planned) == (good and custom_id not in seen)
        if good and custom_id in seen:
            assert refused[number] == (custom_id, "duplicate_custom_id")
        seen.add(custom_id)


@settings(deadline=None)
@given(st.binary(max_size=300), st.integers(3, 300), st.sampled_from(["fail", "skip"]))
def test_no_bytes_break_ingest(content: bytes, range_bytes: int, on_invalid: OnInvalid) -> None:
    assert ingest_of(content, on_invalid).run(range_bytes) in {"announce", "close"}


class _Endless:
    """A reader of one long object that exists only while it is streamed."""

    def __init__(self, ingest: Ingest, line: bytes, bytes_: int) -> None:
        self.head, self.read, self.list = (
            ingest.memory.reader.head, ingest.memory.reader.read, ingest.memory.reader.list,
        )  # fmt: skip
        self._chunk = line * (2**20 // len(line))
        self._bytes = bytes_

    def stream(
        self, key: str, start: int = 0, stop: int | None = None, *, etag: str | None = None
    ) -> Iterator[bytes]:
        for _ in range(self._bytes // len(self._chunk)):
            yield bytes(bytearray(self._chunk))


@pytest.mark.parametrize("line", [request_line("a").ljust(2_000) + b"\n", b"{" * 1_000])
def test_validation_holds_some_chunks_and_not_the_file(line: bytes) -> None:
    ingest = ingest_of(b"")
    size = 60_000_000
    ingest.memory.changes.commit(Save(replace(ingest.batch, input_bytes=size)))
    tracemalloc.start()
    validate_range(
        "acct_1", "batch_1", 0, 0, size, accounts=ingest.memory.accounts,
        batches=ingest.memory.batches, reader=_Endless(ingest, line, size),
        writer=ingest.memory.writer, multipart=ingest.memory.multipart, catalogue=CATALOGUE,
    )  # fmt: skip
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10_000_000


def test_a_range_says_what_it_found() -> None:
    lines = [request_line("a"), b"{", request_line("b"), request_line("c", "two")]
    ingest = ingest_of(b"\n".join(lines))
    found = ingest.validate_one(0, len(ingest.content))
    assert (found.good_lines, found.bad_lines, found.models) == (3, 1, ["one", "two"])
    sizes = [len(lines[0]) + 1 + len(lines[2]) + 1, len(lines[3])]
    assert found.input_tokens == [-(-size // 4) for size in sizes]
    assert found.completion_tokens == [32, 16]
    sharing = found.sharing
    assert sharing is not None
    assert [each.lines for each in sharing] == [2, 1]


def test_reports_say_how_far_the_prompts_of_each_model_begin_alike() -> None:
    beginnings = ["a" * 600, "b" * 600]
    lines = [
        json.dumps(
            {
                "custom_id": f"r{number}",
                "method": "POST",
                "url": ENDPOINT,
                "body": {"model": model, "prompt": beginnings[number % 2] + str(number)},
            }
        ).encode()
        for model in ("one", "two")
        for number in range(20)
    ]
    ingest = ingest_of(b"".join(line + b"\n" for line in lines))
    ingest.line_bytes_max = 10_000
    found = MergedReports(ingest.batch, ingest.validate(7_000), ingest.memory.reader)
    for model in ("one", "two"):
        sharing = found.sharing(model)
        assert sum(each.lines for each in sharing) == 20
        assert estimate_cached_share(sharing).whole_file == pytest.approx(0.77, abs=0.03)
    assert found.sharing("three") == []
