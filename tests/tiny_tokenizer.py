"""A small tokenizer of Hugging Face's library, trained here: byte-level BPE over this project's own documents."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from tokenizers import Tokenizer

from offpeak.local.tiny_model import train_tokenizer

DOCUMENTS = Path(__file__).parent.parent / "docs"
VOCABULARY = 1_000


@cache
def tiny_tokenizer() -> Tokenizer:
    texts = [path.read_text() for path in sorted(DOCUMENTS.glob("*.md"))]
    tokenizer: Tokenizer = train_tokenizer(texts, VOCABULARY)
    return tokenizer


def tiny_tokenizer_json() -> bytes:
    return tiny_tokenizer().to_str().encode()
