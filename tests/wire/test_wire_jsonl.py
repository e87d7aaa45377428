from hypothesis import given
from hypothesis import strategies as st

from offpeak.wire.jsonl import split_blocks, split_lines

CONTENTS = st.lists(st.sampled_from([b"", b"a", b"\n", b"\r\n", b"long line ", b"\xff"])).map(
    b"".join
)


def _chunks(content: bytes, size: int) -> list[bytes]:
    return [content[i : i + size] for i in range(0, len(content), size)]


@given(CONTENTS, st.integers(1, 30))
def test_lines_are_the_same_however_the_stream_is_chunked(content: bytes, size: int) -> None:
    lines = [line for _, _, line in split_lines(_chunks(content, size))]
    expected = content.split(b"\n")
    assert lines == (expected if expected[-1] else expected[:-1])


@given(CONTENTS, st.integers(1, 30), st.integers(0, 1000))
def test_the_offsets_cover_the_stream_without_gap_or_overlap(
    content: bytes, size: int, offset: int
) -> None:
    position = offset
    for start, stop, line in split_lines(_chunks(content, size), offset):
        assert start == position
        assert content[start - offset : stop - offset].rstrip(b"\n") == (line or b"").rstrip(b"\n")
        position = stop
    assert position == offset + len(content)


@given(CONTENTS, st.integers(1, 30), st.integers(0, 20))
def test_exactly_the_lines_over_the_limit_are_withheld(
    content: bytes, size: int, limit: int
) -> None:
    whole = [line for _, _, line in split_lines(_chunks(content, size))]
    limited = [line for _, _, line in split_lines(_chunks(content, size), 0, limit)]
    assert limited == [line if line is not None and len(line) <= limit else None for line in whole]


@given(CONTENTS, st.integers(1, 30), st.integers(0, 20))
def test_blocks_hold_the_same_lines(content: bytes, size: int, limit: int) -> None:
    apart: list[tuple[int, int, bytes | None]] = []
    position = 0
    for start, stop, lines in split_blocks(_chunks(content, size), 0, limit):
        assert start == position < stop
        for line in [None] if lines is None else lines:
            end = stop if line is None else position + len(line) + 1
            apart.append((position, min(end, stop), line))
            position = end
        assert position in {stop, stop + 1}  # the last line's newline may be missing
        position = stop
    assert apart == list(split_lines(_chunks(content, size), 0, limit))


def test_an_endless_line_is_not_held() -> None:
    chunk = b"x" * 1_000_000
    lines = list(split_lines((chunk for _ in range(2_000)), 0, 1_000))
    assert lines == [(0, 2_000_000_000, None)]
