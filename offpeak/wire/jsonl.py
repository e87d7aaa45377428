"""JSON Lines over a stream of chunks: cut at newlines, without ever holding a line that is over the limit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

LINE_BYTES_MAX = 1_000_000

Line = tuple[int, int, bytes | None]
"""A line's [start, stop) in its object, its newline included, and its bytes without the newline — None when over the
limit."""
Block = tuple[int, int, list[bytes] | None]
"""Consecutive whole lines: their [start, stop) in their object, newlines included, and each without its newline. None
is a single line over the limit."""


def split_blocks(
    chunks: Iterable[bytes], offset: int = 0, line_bytes_max: int = LINE_BYTES_MAX
) -> Iterator[Block]:
    r"""The lines of a stream that begins at byte `offset` of its object, as many at once as a chunk completes. Only
    `\n` ends a line; the last needs none.

    `line_bytes_max` does not count the newline. At most that and one chunk is held.
    """
    start = offset  # where the line begins whose pieces are held; `at` is where the chunk does
    at = offset
    held: list[bytes] = []
    for chunk in chunks:
        lines = chunk.split(b"\n")
        last = lines.pop()
        if lines:
            held.append(lines[0])
            end = at + len(lines[0]) + 1
            if end - 1 - start <= line_bytes_max:
                lines[0] = b"".join(held)
            else:
                yield start, end, None
                start = end
                del lines[0]
            stop = at + len(chunk) - len(last)
            if lines:
                yield from _blocks(lines, start, stop, line_bytes_max)
            start = stop
            held = []
        at += len(chunk)
        if at - start <= line_bytes_max:
            held.append(last)
    if at > start:
        yield start, at, [b"".join(held)] if at - start <= line_bytes_max else None


def _blocks(lines: list[bytes], start: int, stop: int, line_bytes_max: int) -> Iterator[Block]:
    """One, unless a line is over the limit, which only one of a large chunk can be."""
    if stop - start <= line_bytes_max or max(map(len, lines)) <= line_bytes_max:
        yield start, stop, lines
        return
    for line in lines:
        stop = start + len(line) + 1
        yield start, stop, [line] if len(line) <= line_bytes_max else None
        start = stop


def split_lines(
    chunks: Iterable[bytes], offset: int = 0, line_bytes_max: int = LINE_BYTES_MAX
) -> Iterator[Line]:
    """The same, line by line."""
    for start, stop, lines in split_blocks(chunks, offset, line_bytes_max):
        if lines is None:
            yield start, stop, None
            continue
        begin = start
        for line in lines:
            end = begin + len(line) + 1
            yield begin, min(end, stop), line
            begin = end
