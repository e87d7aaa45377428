"""When a batch that runs will be done, as far as anybody can tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CompletionBasis = Literal["measured", "prior"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """Half, and nine of ten, of such batches are done at `p50` and `p90`, in seconds since the epoch. `planned_start`
    is None where nothing is planned. `basis` is `prior` until the batch's own answers and pace were measured."""

    p50: int
    p90: int
    planned_start: int | None
    basis: CompletionBasis
