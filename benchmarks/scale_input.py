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
QUESTION = b"Question %09d: who waits, for what, and until when?"
BLOCK_LINES = 4_096


def input_blocks(
    lines: int, model: str, *, first: int = 0, shared: bool = False
) -> Iterator[bytes]:
    """Lines of `LINE_BYTES` each, their newlines included, in blocks of some MB. With `shared`, each of `DOCUMENTS`
    documents is asked many questions, all over the file: what pays to be reordered. Else each line has its own."""
    head = (
        b'{"custom_id":"line-%09d","method":"POST","url":"/v1/chat/completions","body":{"model":"%b",'
        b'"messages":[{"role":"system","content":"Document %09d: %b"},{"role":"user","content":"%b"}]}}\n'
    )
    name = model.encode()
    room = LINE_BYTES - len(head % (0, name, 0, b"", QUESTION % 0))
    rng = random.Random(11)
    words = " ".join(WORDS).split()
    documents = [
        " ".join(rng.choices(words, k=room)).encode()[:room].ljust(room) for _ in range(DOCUMENTS)
    ]
    for start in range(first, first + lines, BLOCK_LINES):
        block = []
        for number in range(start, min(start + BLOCK_LINES, first + lines)):
            document = number % DOCUMENTS
            title = document if shared else number
            question = QUESTION % number
            block.append(head % (number, name, title, documents[document], question))
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
