"""Enqueued tokens: the input that an account's open batches have for a model, estimated from its bytes.

A batch holds its estimate until it has ended, however much of it is done. What planned batches of a limited account
hold is one row, `Enqueued`: it changes in the transaction that plans a batch and in the one that ends it, so that of
two planned in the same moment one sees the other, and the limit holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from offpeak.core.batch import Batch

BYTES_A_TOKEN = 4
"""Of a line, its JSON included: near enough for English prose, high for other scripts."""
ENQUEUED_ID = "enqueued"


@dataclass(frozen=True, slots=True, kw_only=True)
class Enqueued:
    """`tokens` by model: those of the account's batches that say that they hold theirs here (`holds_enqueued`)."""

    account_id: str
    tokens: Mapping[str, int] = field(default_factory=dict)
    version: int = 0

    @property
    def id(self) -> str:
        return ENQUEUED_ID

    def held(self, more: Mapping[str, int]) -> Enqueued:
        return self._changed(more, 1)

    def given_back(self, less: Mapping[str, int]) -> Enqueued:
        return self._changed(less, -1)

    def _changed(self, by: Mapping[str, int], sign: int) -> Enqueued:
        models = sorted(self.tokens.keys() | by.keys())
        tokens = {model: self.tokens.get(model, 0) + sign * by.get(model, 0) for model in models}
        return replace(self, tokens={model: left for model, left in tokens.items() if left})


def estimate_tokens(bytes: int) -> int:
    return -(-bytes // BYTES_A_TOKEN)


def held_tokens(model: str, batches: Iterable[Batch]) -> int:
    """What these batches hold of a model."""
    return sum(batch.enqueued_tokens.get(model, 0) for batch in batches if not batch.is_terminal)


def over_limit(*, model: str, wanted: int, held: int, limit: int) -> str | None:
    """The sentence that refuses `wanted` tokens more; None where they fit."""
    if held + wanted <= limit:
        return None
    about = f"This batch has about {wanted:,} tokens for {model} (estimated from its bytes)"
    if wanted > limit:
        return (
            f"{about}; this account's limit is {limit:,} enqueued tokens a model. Split the file, or ask the operators "
            "of this service to lift the limit."
        )
    return (
        f"{about} and {held:,} are enqueued already; this account's limit is {limit:,} enqueued tokens a model. "
        "Wait for a batch to end, cancel one, or ask the operators of this service to lift the limit."
    )
