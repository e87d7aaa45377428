"""Input files of the end-to-end tests, and result files read back."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Sequence
from typing import Any

MODEL = "offpeak/tiny-chat"


def chat_line(
    custom_id: str, text: str = "Say hello.", model: str = MODEL, **body: Any
) -> dict[str, Any]:
    messages = [{"role": "user", "content": text}]
    return {
        "custom_id": custom_id,
        "method": "POST",
        "url": "/v1/chat/completions",
        "body": {"model": model, "messages": messages, "max_tokens": 16, **body},
    }


def chat_lines(count: int, prefix: str = "line", **body: Any) -> list[dict[str, Any]]:
    return [chat_line(f"{prefix}-{n:05}", f"What is {n} and {n}?", **body) for n in range(count)]


def shuffled_questions(
    documents: int = 650, of_each: int = 4, characters: int = 1_200
) -> list[dict[str, Any]]:
    """Questions to documents, shuffled: more than a shard and an engine's cache hold, so that their order pays across
    shards."""
    chance = random.Random(2)
    texts = [
        f"{document} Question {n}?"
        for document in [chance.randbytes(characters // 2).hex() for _ in range(documents)]
        for n in range(of_each)
    ]
    chance.shuffle(texts)
    return [chat_line(f"line-{n:05}", text) for n, text in enumerate(texts)]


def jsonl(lines: Iterable[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def ids(lines: Iterable[dict[str, Any]]) -> list[str]:
    return [line["custom_id"] for line in lines]


def parse(text: str | bytes) -> list[dict[str, Any]]:
    """A result file's lines. Splits at newlines only, as JSON lines are."""
    raw = text.encode() if isinstance(text, str) else text
    assert raw.isascii(), "result files are ASCII-escaped"
    assert not raw or raw.endswith(b"\n"), "the last line ends like every other"
    return [json.loads(line) for line in raw.split(b"\n")[:-1]]


def assert_each_once_in_input_order(
    lines: Sequence[dict[str, Any]], *results: Sequence[dict[str, Any]]
) -> None:
    """Every custom_id of the input is in exactly one of the result files, and each file is in input order."""
    order = {custom_id: place for place, custom_id in enumerate(ids(lines))}
    found = [custom_id for result in results for custom_id in ids(result)]
    assert len(found) == len(set(found)), "a custom_id came back twice"
    assert set(found) == set(order)
    for result in results:
        places = [order[custom_id] for custom_id in ids(result)]
        assert places == sorted(places), "a result file is out of order"
