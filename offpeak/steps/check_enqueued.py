"""Whether a new batch's tokens fit under the account's limit: a guess when it is created, exact when it is planned.

At creation a file counts by its size, where a look at its two ends finds one model. What names several, or is no JSON,
is left to the planning.

At planning, who comes first has the room. What planned batches hold is a row that the plan's transaction changes on the
condition that it is what was read: of two planned at once, one is planned anew and sees the other. Those that are only
created hold their guess against those created after them, so that two never turn each other away.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from offpeak.core.account import Account
from offpeak.core.batch import Batch
from offpeak.core.catalogue import Catalogue
from offpeak.core.enqueued import Enqueued, estimate_tokens, held_tokens, over_limit
from offpeak.core.errors import InvalidRequest, NotFound, QuotaExceeded
from offpeak.core.file import File
from offpeak.core.ports import Add, Batches, Ledger, Reader, Save
from offpeak.core.run import Run
from offpeak.wire.sampled_models import sampled_models

OVER_LIMIT = "token_limit_exceeded"
LOOK_BYTES = 64 * 2**10


def guess_enqueued(
    account: Account, file: File, *, batches: Batches, reader: Reader, catalogue: Catalogue
) -> Mapping[str, int]:
    """The tokens of a new batch of this file, by model; nothing where that can't be told, or no limit asks for it.

    Raises QuotaExceeded when they don't fit now, InvalidRequest when they never will.
    """
    limit = account.limits.enqueued_tokens_max
    model = None if limit is None else _only_model(file, reader, catalogue)
    if limit is None or model is None:
        return {}
    wanted = estimate_tokens(file.bytes)
    held = held_tokens(model, batches.open_of(account.id))
    refusal = over_limit(model=model, wanted=wanted, held=held, limit=limit)
    if refusal is not None:
        kind = InvalidRequest if wanted > limit else QuotaExceeded
        raise kind(refusal, param="input_file_id", code=OVER_LIMIT)
    return {model: wanted}


def enqueued_by_model(runs: Sequence[Run]) -> Mapping[str, int]:
    """The tokens of a planned batch: a model has one run."""
    return {run.model: estimate_tokens(run.input_bytes) for run in runs}


def hold_enqueued(
    account: Account, batch: Batch, tokens: Mapping[str, int], batches: Batches, ledger: Ledger
) -> Enqueued | None:
    """The account's row with a planned batch's tokens in it, for the plan's transaction; None where no limit asks for
    it. Raises QuotaExceeded when they don't fit."""
    limit = account.limits.enqueued_tokens_max
    if limit is None or not tokens:
        return None
    # The row first: who gets into it after that makes the commit conflict, and is not overlooked below.
    row = ledger.enqueued(account.id)
    outside = [other for other in batches.open_of(account.id) if _is_outside(other, batch)]
    refusal = _refusal(row, outside, tokens, limit)
    if refusal and outside:
        # The index lags: whom it shows outside may be in the row by now, or have ended.
        fresh = [batches.get(account.id, other.id) for other in outside]
        outside = [other for other in fresh if _is_outside(other, batch)]
        refusal = _refusal(row, outside, tokens, limit)
    if refusal:
        raise QuotaExceeded(refusal, code=OVER_LIMIT)
    return row.held(tokens)


def free_enqueued(batch: Batch, ledger: Ledger) -> list[Add | Save]:
    """For the transaction that ends the batch: the account's row without its tokens."""
    if not batch.holds_enqueued:
        return []
    return [Save(ledger.enqueued(batch.account_id).given_back(batch.enqueued_tokens))]


def _is_outside(other: Batch, batch: Batch) -> bool:
    """Whether its tokens count against `batch` and are not in the row: it was planned before there was a row, or while
    its account had no limit; or it was created earlier and isn't planned yet."""
    if other.id == batch.id or other.is_terminal or other.holds_enqueued:
        return False
    is_planned = other.in_progress_at is not None
    return is_planned or (other.created_at, other.id) < (batch.created_at, batch.id)


def _refusal(
    row: Enqueued, outside: Sequence[Batch], tokens: Mapping[str, int], limit: int
) -> str | None:
    """Why so many tokens more don't fit; None where they do."""
    for model, wanted in tokens.items():
        held = row.tokens.get(model, 0) + held_tokens(model, outside)
        refusal = over_limit(model=model, wanted=wanted, held=held, limit=limit)
        if refusal is not None:
            return refusal
    return None


def _only_model(file: File, reader: Reader, catalogue: Catalogue) -> str | None:
    try:
        begin = reader.read(file.key, 0, LOOK_BYTES)
        end = reader.read(file.key, max(0, file.bytes - LOOK_BYTES), file.bytes)
    except NotFound:
        return None
    names = sampled_models(begin) | sampled_models(end)
    models = {model.id for model in map(catalogue.find, names) if model is not None}
    return next(iter(models)) if len(models) == 1 else None
