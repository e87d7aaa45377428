"""Completion windows: how long a batch may take, from its creation to its last result."""

from __future__ import annotations

import re

from offpeak.core.errors import InvalidRequest

WINDOW_SECONDS_MIN = 3_600
WINDOW_SECONDS_MAX = 7 * 86_400
_UNIT_SECONDS = {"h": 3_600, "d": 86_400}
_WINDOW = re.compile(r"([1-9][0-9]{0,3})([hd])")


def parse_window(text: str) -> int:
    """Seconds of a completion window such as `24h` or `7d`.

    Raises InvalidRequest for anything else, and for windows outside 1h … 7d.
    """
    match = _WINDOW.fullmatch(text)
    seconds = int(match[1]) * _UNIT_SECONDS[match[2]] if match else 0
    if not WINDOW_SECONDS_MIN <= seconds <= WINDOW_SECONDS_MAX:
        raise InvalidRequest(
            f"Invalid completion_window: {text[:20]!r}. Give hours or days from '1h' to '7d', for example '24h'.",
            param="completion_window",
            code="invalid_completion_window",
        )
    return seconds
