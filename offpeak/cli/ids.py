"""Ids as people type them."""

from __future__ import annotations

from offpeak.cli.errors import UsageError


def path_segment(id: str) -> str:
    """`id` when it is safe as a piece of a path; UsageError for what would name another path."""
    if not id.isascii() or not id.replace("_", "").replace("-", "").isalnum():
        raise UsageError(f"{id!r} is no id; `offpeak list` and `offpeak files list` show them.")
    return id
