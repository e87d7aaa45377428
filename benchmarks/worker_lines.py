"""The request files that the worker's benchmark runs: JSON Lines of chat requests, the same for every side.

Words are drawn by a seeded generator, so a file is the same wherever the same Python makes it; how many words make
a token depends on the model's tokenizer, so prompts are sized by a count that is handed in.
"""

from __future__ import annotations

import builtins
import json
import keyword
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CHAT = "/v1/chat/completions"
WORDS = (*keyword.kwlist, *dir(builtins))
CountTokens = Callable[[str], int]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """`requests` in groups of `per_group`, which share a system prompt of `prefix_tokens`; no groups: no sharing, and
    prompts and answers of mixed lengths."""

    requests: int
    per_group: int = 1
    prefix_tokens: int = 0
    question_tokens: int = 40
    answer_tokens: int = 16


def sorted_lines(shape: Shape, model: str, count: CountTokens) -> list[bytes]:
    """Group after group."""
    chance = random.Random(20_260_901)
    lines: list[bytes] = []
    for group in range(shape.requests // shape.per_group):
        prefix = text_of(chance, shape.prefix_tokens, count)
        for _ in range(shape.per_group):
            messages = [
                {"role": "system", "content": prefix},
                {
                    "role": "user",
                    "content": f"{group} " + text_of(chance, shape.question_tokens, count),
                },
            ]
            lines.append(_line(len(lines), model, messages, shape.answer_tokens))
    return lines


def mixed_lines(requests: int, model: str, count: CountTokens) -> list[bytes]:
    """No two share a beginning. Prompts of 20 to 800 tokens, answers of 8 to 96: most are short, some are long."""
    chance = random.Random(20_260_902)
    lines: list[bytes] = []
    for number in range(requests):
        text = text_of(chance, int(20 * 40 ** chance.random()), count)
        messages = [{"role": "user", "content": f"{chance.getrandbits(48):x} {text}"}]
        lines.append(_line(number, model, messages, int(8 * 12 ** chance.random())))
    return lines


def shuffled(lines: Sequence[bytes]) -> list[bytes]:
    mixed = list(lines)
    random.Random(20_260_903).shuffle(mixed)
    return mixed


def echo_lines(requests: int, model: str) -> list[bytes]:
    return [
        _line(n, model, [{"role": "user", "content": f"Say {n} in words."}], 16)
        for n in range(requests)
    ]


def text_of(chance: random.Random, tokens: int, count: CountTokens) -> str:
    """Words of about so many tokens."""
    per_word = count(" ".join(WORDS)) / len(WORDS)
    return " ".join(chance.choices(WORDS, k=max(1, round(tokens / per_word))))


def _line(number: int, model: str, messages: object, answer_tokens: int) -> bytes:
    body = {
        "model": model, "messages": messages, "max_tokens": answer_tokens, "temperature": 0,
        "ignore_eos": True,
    }  # fmt: skip
    line = {"custom_id": f"line-{number}", "method": "POST", "url": CHAT, "body": body}
    return json.dumps(line).encode() + b"\n"
