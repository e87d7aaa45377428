"""The input of the benchmark of scale: chat requests of 2 kB, most of it a document, and a question for the echo."""

from __future__ import annotations

import random
from collections.abc import Iterator

LINE_BYTES = 2_000
DOCUMENTS = 256
WORDS = (
    "a batch of requests waits for the night and is answered before the morning comes with the wind",
    "while turbines turn and nobody looks at the price of power which falls as the city sleeps",
)
QUESTION = "Question %09d: who waits, for what, and until when?"
BLOCK_LINES = 4_096


def input_blocks(lines: int, model: str, first: int = 0) -> Iterator[bytes]:
    """Lines of `LINE_BYTES` each, their newlines included, in blocks of some MB."""
    head = b'{"custom_id":"line-%09d","method":"POST","url":"/v1/chat/completions","body":{"model":"%b",'
    rest = b'"messages":[{"role":"system","content":"%b"},{"role":"user","content":"%b"}]}}\n'
    name = model.encode()
    fixed = len(head % (0, name)) + len(rest % (b"", (QUESTION % 0).encode()))
    rng = random.Random(11)
    words = " ".join(WORDS).split()
    middles = []
    for _ in range(DOCUMENTS):
        document = " ".join(rng.choices(words, k=LINE_BYTES // 2)).encode()
        before, after = (
            rest % (document[: LINE_BYTES - fixed].ljust(LINE_BYTES - fixed), b"\0")
        ).split(b"\0")
        middles.append((before + b"Question ", after))
    tail = QUESTION.partition(" %09d")[2].encode()
    for start in range(first, first + lines, BLOCK_LINES):
        block = []
        for number in range(start, min(start + BLOCK_LINES, first + lines)):
            before, after = middles[number % DOCUMENTS]
            block.append(head % (number, name) + before + b"%09d" % number + tail + after)
        yield b"".join(block)


def in_parts(blocks: Iterator[bytes], part_bytes: int) -> Iterator[bytes]:
    """The same bytes in pieces of this size; the last may be smaller."""
    held = bytearray()
    for block in blocks:
        held += block
        while len(held) >= part_bytes:
            yield bytes(held[:part_bytes])
            del held[:part_bytes]
    if held:
        yield bytes(held)
