"""Which models a piece of an input file names: a look, not a check."""

from __future__ import annotations

import msgspec


class _Body(msgspec.Struct):
    model: str


class _Line(msgspec.Struct):
    body: _Body


_LINES = msgspec.json.Decoder(_Line)


def sampled_models(block: bytes) -> frozenset[str]:
    """The names in the whole lines of `block`, which may begin and end within one. What is no request line is left
    out."""
    names = set()
    for line in block.split(b"\n"):
        try:
            names.add(_LINES.decode(line).body.model)
        except (ValueError, RecursionError):
            continue
    return frozenset(names)
