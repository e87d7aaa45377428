"""Texts of request lines for counting: every dialect's, and what no tokenizer counts beside them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.wire.prompt_texts import (
    ANSWER_TOKENS,
    CHARACTERS_MAX,
    MESSAGE_TOKENS,
    PromptTexts,
    read_prompt_texts,
)

CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES = (
    f"/v1/{name}" for name in ("chat/completions", "completions", "embeddings", "responses")
)


def read(endpoint: str, **body: Any) -> PromptTexts:
    return read_prompt_texts(json.dumps({"body": body}).encode(), endpoint)


def test_messages_are_counted_with_what_a_template_adds() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "text", "text": "you"}]},
    ]  # fmt: skip
    found = read(CHAT, messages=messages)
    assert found.texts == ("Be brief.", "Hi", "you")
    assert found.tokens == 2 * MESSAGE_TOKENS + ANSWER_TOKENS
    assert not found.are_prompts
    assert found.tokens_of([3, 1, 1], 0.25) == 5 + found.tokens


def test_tools_and_calls_of_tools_are_counted_as_json() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [{"role": "assistant", "content": "", "tool_calls": [call]}]
    found = read(CHAT, messages=messages, tools=[{"type": "function"}])
    assert [json.loads(text) for text in found.texts if text] == [[{"type": "function"}], [call]]
    silent = read(CHAT, messages=[{"role": "assistant", "content": None, "tool_calls": [call]}])
    assert "arguments" in silent.texts[0]


def test_images_count_by_their_bytes() -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 1_000}}
    content = [{"type": "text", "text": "What is it?"}, image]
    found = read(CHAT, messages=[{"role": "user", "content": content}])
    assert found.texts == ("What is it?",)
    assert 1_000 < found.other_bytes < 1_100
    assert found.tokens_of([4], 0.5) == 4 + found.tokens + found.other_bytes / 2


@pytest.mark.parametrize(("endpoint", "name"), [(COMPLETIONS, "prompt"), (EMBEDDINGS, "input")])
def test_prompts_may_be_many_or_tokens_already(endpoint: str, name: str) -> None:
    assert read(endpoint, **{name: "one"}).texts == ("one",)
    assert read(endpoint, **{name: ["one", "two"]}).texts == ("one", "two")
    assert read(endpoint, **{name: [1, 2, 3]}).tokens == 3
    assert read(endpoint, **{name: [[1, 2], [3]]}).tokens == 3
    assert read(endpoint, **{name: "one"}).are_prompts


def test_responses_are_a_text_or_messages_with_instructions() -> None:
    assert read(RESPONSES, input="Hi", instructions="Be brief.").texts == ("Be brief.", "Hi")
    said = [{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}]
    found = read(RESPONSES, input=said)
    assert (found.texts, found.tokens) == (("Hi",), MESSAGE_TOKENS + ANSWER_TOKENS)


LENGTHS = st.lists(st.integers(0, 3 * CHARACTERS_MAX), min_size=1, max_size=4)


@given(LENGTHS)
def test_only_the_first_of_a_long_prompt_is_kept_and_the_rest_reckoned(lengths: list[int]) -> None:
    texts = ["é" * length for length in lengths]
    found = read(COMPLETIONS, prompt=texts)
    kept = sum(map(len, found.texts))
    assert kept == min(CHARACTERS_MAX, sum(map(len, texts)))
    assert found.characters == sum(map(len, texts))
    counts = [len(text) for text in found.texts]  # a token a character
    assert found.tokens_of(counts, 0) == pytest.approx(found.characters)
