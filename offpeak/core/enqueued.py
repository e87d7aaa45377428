"""Enqueued tokens: the input that an account's open batches have for a model, estimated from its bytes.

A batch holds its estimate until it has ended, however much of it is done. Two batches that are planned in the same
moment don't see each other: the limit may be passed by one batch.
"""

from __future__ import annotations

from collections.abc import Iterable

from offpeak.core.batch import Batch

BYTES_A_TOKEN = 4
"""Of a line, its JSON included: near enough for English prose, high for other scripts."""


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
