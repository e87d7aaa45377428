"""JSON Lines over a stream of chunks: cut at newlines, without ever holding a line that is over the limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

LINE_BYTES_MAX = 1_000_000

Line = tuple[int, int, bytes | None]
"""A line's [start, stop) in its object, its newline included, and its bytes without the newline — None when over the
limit."""


def split_lines(
    chunks: Iterable[bytes], offset: int = 0, line_bytes_max: int = LINE_BYTES_MAX
) -> Iterator[Line]:
    r"""The lines of a stream that begins at byte `offset` of its object. Only `\n` ends a line; the last needs none.

    `line_bytes_max` does not count the newline. At most that and one chunk is held.
    """
    start = offset
    held: list[bytes] = []
    held_bytes = 0
    for chunk in chunks:
        first, newline, rest = chunk.partition(b"\n")
        if held_bytes <= line_bytes_max:
            held.append(first)
        held_bytes += len(first)
        if not newline:
            continue
        stop = start + held_bytes + 1
        yield start, stop, b"".join(held) if held_bytes <= line_bytes_max else None
        start = stop
        lines = rest.split(b"\n")
        last = lines.pop()
        for line in lines:
            stop = start + len(line) + 1
            yield start, stop, line if len(line) <= line_bytes_max else None
            start = stop
        held, held_bytes = [last], len(last)
    if held_bytes:
        yield start, start + held_bytes, b"".join(held) if held_bytes <= line_bytes_max else None
