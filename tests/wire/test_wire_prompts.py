"""What a prompt begins with, read from a line's raw bytes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from offpeak.wire.prompts import prompt_reader, read_completion_tokens

CHAT = "/v1/chat/completions"
SYSTEM = {"role": "system", "content": "You are kind."}


def line(body: dict[str, Any], custom_id: str = "a") -> bytes:
    return json.dumps({"custom_id": custom_id, "method": "POST", "body": body}).encode()


def chat(*messages: dict[str, Any], **more: Any) -> bytes:
    return line({"model": "m", **more, "messages": messages})


def common(one: bytes, other: bytes) -> int:
    length = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        length += 1
    return length


def test_messages_that_begin_alike_have_a_common_beginning() -> None:
    read = prompt_reader(CHAT).read
    one = read(chat(SYSTEM, {"role": "user", "content": "a?"}, temperature=0))
    other = read(chat(SYSTEM, {"role": "user", "content": "b?"}, max_tokens=4))
    assert common(one, other) >= len(json.dumps(SYSTEM))


def test_tools_come_first() -> None:
    read = prompt_reader(CHAT).read
    tools = [{"type": "function", "function": {"name": "look"}}]
    with_tools, without = read(chat(SYSTEM, tools=tools)), read(chat(SYSTEM))
    assert common(with_tools, read(chat(SYSTEM, tools=tools))) == len(with_tools)
    assert common(with_tools, without) < 5
    assert with_tools.startswith(json.dumps(tools).encode())


def test_images_count() -> None:
    read = prompt_reader(CHAT).read
    content = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 900}}]
    other = [{"type": "image_url", "image_url": {"url": "data:image/png;base64," + "B" * 900}}]
    asked = {"role": "user", "content": content}
    assert len(read(chat(asked))) > 900
    assert common(read(chat(asked)), read(chat({"role": "user", "content": other}))) < 100


@pytest.mark.parametrize(
    ("endpoint", "body", "prompt"),
    [
        ("/v1/completions", {"prompt": "hello"}, b'"hello"'),
        ("/v1/completions", {"prompt": [1, 2, 3]}, b"[1, 2, 3]"),
        ("/v1/responses", {"instructions": "Be kind.", "input": "hi"}, b'"Be kind.""hi"'),
        ("/v1/embeddings", {"input": "hello"}, b""),
    ],
)
def test_each_endpoint_has_its_prompt(endpoint: str, body: dict[str, Any], prompt: bytes) -> None:
    assert prompt_reader(endpoint).read(line(body)) == prompt


@pytest.mark.parametrize("strange", [b"", b"no json", b"[]", b'{"body": 5}', b"[" * 100_000])
def test_what_has_no_prompt_shares_nothing(strange: bytes) -> None:
    assert prompt_reader(CHAT).read(strange) == b""
    assert read_completion_tokens(strange, 7) == 7


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({}, 16),
        ({"max_tokens": 5}, 5),
        ({"max_tokens": 5, "max_completion_tokens": 9}, 9),
        ({"max_output_tokens": 8}, 8),
        ({"max_tokens": 5, "n": 3}, 15),
    ],
)
def test_a_line_says_what_its_answers_may_take(body: dict[str, Any], tokens: int) -> None:
    assert read_completion_tokens(line(body), 16) == tokens
