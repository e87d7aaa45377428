"""Moves one group's row, however many others move it at the same time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from offpeak.core.errors import StateConflict, Unavailable
from offpeak.core.group import Group
from offpeak.core.ports import Changes, Groups, Save
from offpeak.steps.move_shard import CONFLICTS_MAX

Move = Callable[[Group], Group]


def move_group(
    account_id: str, group_id: str, move: Move, *, groups: Groups, changes: Changes
) -> Group:
    """The group as `move` moved it. What `move` raises passes through; Unavailable after `CONFLICTS_MAX` conflicts."""
    for _ in range(CONFLICTS_MAX):
        moved = move(groups.get(account_id, group_id))
        try:
            changes.commit(Save(moved))
        except StateConflict:
            continue
        return replace(moved, version=moved.version + 1)
    raise Unavailable(f"Batch {group_id} changed {CONFLICTS_MAX} times meanwhile.")
