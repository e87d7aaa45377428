from __future__ import annotations

import json

import pytest

from offpeak.core.dead_letter import READERS, DeadLetter
from offpeak.core.errors import NotFound
from offpeak.memory.dead_letters import MemoryDeadLetters
from offpeak.steps.redrive_letters import redrive_letters, show_letters


def letter(number: int, sent_at: int, body: object) -> DeadLetter:
    return DeadLetter(id=f"m{number}", sent_at=sent_at, body=json.dumps(body))


@pytest.fixture
def dead_letters() -> MemoryDeadLetters:
    found = MemoryDeadLetters()
    found.letters["groups"] = [
        letter(1, 90, {"account_id": "acct_1", "group_id": "group_2"}),
        letter(2, 70, {"account_id": "acct_1", "group_id": "group_1"}),
    ]
    return found


def test_every_queue_is_shown_with_its_reader_and_the_oldest_of_what_it_holds(
    dead_letters: MemoryDeadLetters,
) -> None:
    shown = {given.queue.meant_for: given for given in show_letters(dead_letters=dead_letters)}
    assert set(shown) == set(READERS)
    groups = shown["groups"]
    assert (groups.queue.letters, groups.queue.reader) == (2, "finalize_group")
    assert groups.oldest_sent_at == 70
    assert groups.sample[0].names == {"account_id": "acct_1", "group_id": "group_1"}
    assert shown["dropped"].oldest_sent_at is None


@pytest.mark.parametrize(
    "name", ["dispatch", "dispatch.fifo", "dispatch-dead", "dispatch-dead.fifo"]
)
def test_a_queue_is_found_by_its_name_or_by_the_one_that_it_is_beside(
    name: str, dead_letters: MemoryDeadLetters
) -> None:
    [given] = show_letters(name, dead_letters=dead_letters)
    assert given.queue.name == "dispatch-dead.fifo"


def test_a_queue_that_is_not_there_is_named_with_those_that_are(
    dead_letters: MemoryDeadLetters,
) -> None:
    with pytest.raises(NotFound, match=r"'shards'.*shard-ended"):
        show_letters("shards", dead_letters=dead_letters)


def test_a_second_redrive_finds_nothing_to_give_back(dead_letters: MemoryDeadLetters) -> None:
    [given] = show_letters("groups", dead_letters=dead_letters)
    assert redrive_letters(given.queue, dead_letters=dead_letters) == 2
    assert len(dead_letters.given["groups"]) == 2
    [given] = show_letters("groups", dead_letters=dead_letters)
    assert redrive_letters(given.queue, dead_letters=dead_letters) == 0
    assert len(dead_letters.given["groups"]) == 2
