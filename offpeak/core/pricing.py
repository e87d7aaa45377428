"""What a model's tokens cost. Money is whole micro-dollars: $0.13 per million tokens is 130,000."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Basis = Literal["base", "batch"]
"""`base`: the price of a request that is answered at once, which a batch's discount is taken off. `batch`: already what
a batch pays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """Micro-dollars per million tokens. An input token costs `cached_input_read` when it was found in the prefix cache,
    else `input`; `cached_input_write` is what `input` becomes for one that is put there."""

    input: int
    output: int
    cached_input_write: int
    cached_input_read: int
    basis: Basis = "base"


FREE = Prices(input=0, output=0, cached_input_write=0, cached_input_read=0)
