"""Durations as people write them: `12h`, `90d`."""

from __future__ import annotations

import re

from offpeak.cli.errors import UsageError

_SECONDS = {"m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_DURATION = re.compile(r"([1-9][0-9]{0,4})([mhdw])")


def parse_duration(text: str, option: str) -> int:
    """Seconds. Raises UsageError, which names the option."""
    found = _DURATION.fullmatch(text)
    if found is None:
        raise UsageError(f"{option} takes a duration such as 12h, 90d or 52w, not {text!r}.")
    return int(found[1]) * _SECONDS[found[2]]
