"""Whether a new batch's tokens fit under the account's limit: a guess when it is created, exact when it is planned.

At creation a file counts by its size, where a look at its two ends finds one model. What names several, or is no JSON,
is left to the planning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from offpeak.core.account import Account
from offpeak.core.catalogue import Catalogue
from offpeak.core.enqueued import estimate_tokens, held_tokens, over_limit
from offpeak.core.errors import InvalidRequest, NotFound, QuotaExceeded
from offpeak.core.file import File
from offpeak.core.ports import Batches, Reader
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


def refuse_enqueued(
    account: Account, batch_id: str, tokens: Mapping[str, int], batches: Batches
) -> str | None:
    """Why a planned batch of so many tokens fails; None where they fit."""
    limit = account.limits.enqueued_tokens_max
    if limit is None:
        return None
    others = [batch for batch in batches.open_of(account.id) if batch.id != batch_id]
    for model, wanted in tokens.items():
        held = held_tokens(model, others)
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
