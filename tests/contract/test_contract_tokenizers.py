"""`Tokenizers`: what is staged counts, whatever else is there counts nothing and breaks nothing."""

from __future__ import annotations

import uuid

import pytest

from offpeak.core.layout import tokenizer_key
from offpeak.core.ports import TOKENIZER_BYTES_MAX
from tests.contract.worlds import Ports
from tests.tiny_tokenizer import tiny_tokenizer_json

TEXTS = ["", "word", "many words, and signs: of all kinds!", "word"]


@pytest.fixture
def pool() -> str:
    return f"pool-{uuid.uuid4().hex[:8]}"


def test_each_text_is_counted_by_itself_once_a_tokenizer_is_staged(ports: Ports, pool: str) -> None:
    assert ports.tokenizers.count(pool, TEXTS) is None
    ports.writer.put(tokenizer_key(pool), tiny_tokenizer_json())
    counts = ports.tokenizers.count(pool, TEXTS)
    assert counts is not None
    assert len(counts) == len(TEXTS)
    assert 0 == counts[0] < counts[1] == counts[3] < counts[2]
    assert ports.tokenizers.count(pool, []) == []
    assert ports.tokenizers.count(f"{pool}-other", TEXTS) is None


def test_what_was_staged_anew_counts_from_then_on(ports: Ports, pool: str) -> None:
    ports.writer.put(tokenizer_key(pool), b"no tokenizer")
    assert ports.tokenizers.count(pool, TEXTS) is None
    ports.writer.put(tokenizer_key(pool), tiny_tokenizer_json())
    assert ports.tokenizers.count(pool, TEXTS) is not None
    ports.writer.delete(tokenizer_key(pool))
    assert ports.tokenizers.count(pool, TEXTS) is None


def test_a_file_that_is_too_large_is_never_read(ports: Ports, pool: str) -> None:
    ports.writer.put(tokenizer_key(pool), b"{" + b" " * TOKENIZER_BYTES_MAX)
    assert ports.tokenizers.count(pool, TEXTS) is None
