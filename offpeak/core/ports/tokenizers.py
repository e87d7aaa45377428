"""Counting tokens as a model does."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

TOKENIZER_BYTES_MAX = 32 * 1024**2
"""Of a tokenizer.json that is read. Those of vocabularies of 150,000 tokens take 7 to 17 MB."""


class Tokenizers(Protocol):
    def count(
        self, pool: str, texts: Sequence[str], *, are_prompts: bool = False
    ) -> list[int] | None:
        """Tokens of each text by the tokenizer of the model that this pool serves; None where none is staged, or what
        is staged can't be used. Whole prompts have the special tokens around them that the tokenizer adds by itself;
        else none is added."""
        ...
