"""How many tokens a request line will hold in the KV cache, guessed before the engine has tokenised it.

Tokens of its own: a prefix that is cached already is held once for all that share it. The guess is a mean over what the
engine has counted of late, per byte of the line, so that it needs no tokenizer and no look into the body.
"""

from __future__ import annotations

from offpeak.core.usage import Usage

CONTEXT_TOKENS_MAX = 2**31
_REMEMBERED_LINES = 500
"""About so many of the last lines count: another shard's lines may be quite different."""
_FIRST_LINES = 8
"""The first guesses stand as if they had been measured on so many lines."""
_PROMPT_TOKENS_PER_BYTE = 0.25
_COMPLETION_TOKENS = 256.0
_LINE_BYTES = 1_000.0


class LineTokens:
    """`context_tokens` is the most that one request can have."""

    def __init__(self, context_tokens: int = CONTEXT_TOKENS_MAX) -> None:
        self._context_tokens = context_tokens
        self._lines = float(_FIRST_LINES)
        self._bytes = _FIRST_LINES * _LINE_BYTES
        self._prompt = self._bytes * _PROMPT_TOKENS_PER_BYTE
        self._completion = _FIRST_LINES * _COMPLETION_TOKENS

    def guess(self, line_bytes: int) -> int:
        prompt = line_bytes * self._prompt / self._bytes
        return min(self._context_tokens, 1 + int(prompt + self._completion / self._lines))

    def learn(self, line_bytes: int, usage: Usage) -> None:
        """What the engine counted of a line that it has answered."""
        kept = 1 - 1 / _REMEMBERED_LINES if self._lines >= _REMEMBERED_LINES else 1.0
        self._lines = self._lines * kept + 1
        self._bytes = self._bytes * kept + line_bytes
        self._prompt = self._prompt * kept + usage.input_tokens - usage.cached_tokens
        self._completion = self._completion * kept + usage.output_tokens
