"""Beside an object it is told how far its batch is."""

from __future__ import annotations

from offpeak.core.ports import Save
from offpeak.steps.show_drops import show_drops
from tests.steps.drop_folder import DropFolder


def test_progress_is_told_when_there_is_some() -> None:
    folder = DropFolder()
    folder.drop()
    assert folder.call(show_drops) == 0
    now = int(folder.clock.now())
    folder.changes.commit(
        Save(folder.batch.planned(model="red", total=6, invalid_lines=3, now=now))
    )
    assert folder.call(show_drops) == 1
    status = folder.status()
    assert (status["status"], status["progress"]) == ("in_progress", 0.5)
    assert folder.call(show_drops) == 0
