"""How deep JSON is nested, before anything decodes it.

Decoders go as deep as the stack they are called on allows, so of two processes one may decode a line that the other
can't: validation passes lines that would end a worker's shard, neighbours and all. Hence a limit of our own, far below
theirs, which the worker keeps: it has the time, for a line is its GPU's work and takes milliseconds.
"""

from __future__ import annotations

import re

NESTING_MAX = 512
_BYTES_MIN = 2 * NESTING_MAX  # each level opens and closes
# A text that doesn't end goes to the end: so a match never fails, and no byte is looked at twice.
_TEXT = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OPENING = frozenset(b"[{")


def is_too_deep(line: bytes) -> bool:
    """Whether arrays and objects lie in one another more than `NESTING_MAX` deep. Looks at few lines closely: most
    don't have so many brackets, and of most of those they are in texts."""
    if len(line) < _BYTES_MIN:
        return False
    # `count` looks at each byte, `replace` leaps from one to the next: ten times as fast where there are few.
    without = len(line.replace(b"{", b"")) + len(line.replace(b"[", b""))
    if 2 * len(line) - without <= NESTING_MAX:
        return False
    depth = deepest = 0
    for bracket in _TEXT.sub(b"", line).translate(None, _BUT_BRACKETS):
        depth += 1 if bracket in _OPENING else -1
        deepest = max(deepest, depth)
    return deepest > NESTING_MAX
