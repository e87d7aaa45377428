from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.errors import NotFound
from offpeak.core.shard import Segment
from offpeak.memory.memory import Memory
from offpeak.wire import segments as module
from offpeak.wire.segments import join_number, read_lines, stretches

KEY = "files/acct_1/file-1"


class CountingReader:
    """Counts the streams that are opened."""

    def __init__(self, memory: Memory) -> None:
        self._reader = memory.reader
        self.head, self.read, self.list = (
            memory.reader.head,
            memory.reader.read,
            memory.reader.list,
        )
        self.streams: list[tuple[int, int | None]] = []

    def stream(self, key: str, start: int = 0, stop: int | None = None, *, etag: str | None = None):  # type: ignore[no-untyped-def]  # noqa: ANN201
        self.streams.append((start, stop))
        return self._reader.stream(key, start, stop, etag=etag)


def segments_of(lines: list[bytes], wanted: list[bool]) -> list[Segment]:
    """A segment for each maximal stretch of wanted lines."""
    found: list[Segment] = []
    start = 0
    for number, (line, is_wanted) in enumerate(zip(lines, wanted, strict=True), start=1):
        stop = start + len(line) + 1
        if is_wanted and found and found[-1].stop == start:
            found[-1] = replace(found[-1], stop=stop, lines=found[-1].lines + 1)
        elif is_wanted:
            found.append(Segment(key=KEY, start=start, stop=stop, first_line=number, lines=1))
        start = stop
    return found


@given(
    st.lists(st.tuples(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b" ")), st.booleans()))
)
def test_every_line_of_every_segment_comes_once_with_its_number(
    file: list[tuple[bytes, bool]],
) -> None:
    lines, wanted = [line for line, _ in file], [is_wanted for _, is_wanted in file]
    memory = Memory()
    memory.writer.put(KEY, b"".join(line + b"\n" for line in lines))
    expected = [(n, line) for n, (line, w) in enumerate(file, start=1) if w]
    assert list(read_lines(memory.reader, segments_of(lines, wanted))) == expected


def test_near_segments_share_a_stream_and_far_ones_do_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GAP_BYTES_MAX", 10)
    lines = [b"a", b"x" * 9, b"b", b"x" * 10, b"c"]
    memory = Memory()
    memory.writer.put(KEY, b"".join(line + b"\n" for line in lines))
    reader = CountingReader(memory)
    found = list(read_lines(reader, segments_of(lines, [True, False, True, False, True])))
    assert found == [(1, b"a"), (3, b"b"), (5, b"c")]
    assert reader.streams == [(0, 14), (25, 27)]


def test_segments_of_different_objects_never_share_a_stream() -> None:
    first = Segment(key="a", start=0, stop=2, first_line=1, lines=1)
    second = Segment(key="b", start=2, stop=4, first_line=2, lines=1)
    assert list(stretches([first, second])) == [[first], [second]]


def test_the_last_line_needs_no_newline() -> None:
    memory = Memory()
    memory.writer.put(KEY, b"a\nb")
    segment = Segment(key=KEY, start=0, stop=3, first_line=7, lines=2)
    assert list(read_lines(memory.reader, [segment])) == [(7, b"a"), (8, b"b")]


@pytest.mark.parametrize("body", [b"a\n", b"aaaa\nb\n", b"a\nb\nc\n"])
def test_an_object_that_is_not_what_was_planned_is_refused(body: bytes) -> None:
    memory = Memory()
    memory.writer.put(KEY, body)
    wrong = Segment(key=KEY, start=0, stop=len(body), first_line=1, lines=2)
    if body == b"aaaa\nb\n":
        wrong = replace(wrong, stop=3)
    with pytest.raises(ValueError, match="has no 2 lines"):
        list(read_lines(memory.reader, [wrong]))


def test_an_object_that_is_gone_is_not_found() -> None:
    segment = Segment(key=KEY, start=0, stop=3, first_line=1, lines=1)
    with pytest.raises(NotFound):
        list(read_lines(Memory().reader, [segment]))


texts = st.binary(max_size=40).map(lambda text: text.replace(b"\n", b" "))


@given(st.lists(st.tuples(st.integers(1, 10**9), texts)))
def test_rewritten_lines_bring_their_numbers(lines: list[tuple[int, bytes]]) -> None:
    memory = Memory()
    body = b"".join(join_number(number, line) for number, line in lines)
    memory.writer.put(KEY, body)
    numbers = [number for number, _ in lines]
    segment = Segment(
        key=KEY, start=0, stop=len(body), first_line=min(numbers, default=1), lines=len(lines),
        last_line=max(numbers, default=1),
    )  # fmt: skip
    assert list(read_lines(memory.reader, [segment] if lines else [])) == lines
