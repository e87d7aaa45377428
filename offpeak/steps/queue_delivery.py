"""Sets one event on its way to one destination, once for both however often it is called."""

from __future__ import annotations

from offpeak.core.delivery import BODY_CHARACTERS_MAX, Delivery, Event, ask_for
from offpeak.core.errors import StateConflict, TooLarge
from offpeak.core.ports import Add, Callbacks, Changes, Clock

LOOK_AGAIN_SECONDS = 60
"""After an attempt should have begun: the message that asked for it is lost, and it is asked for again."""


def queue_delivery(
    account_id: str, event: Event, destination_id: str, *, url: str | None = None, result_of: str | None = None,
    clock: Clock, changes: Changes, callbacks: Callbacks,
) -> bool:  # fmt: skip
    """Whether this call was the first. `destination_id` is a webhook endpoint's, or, with its callback's `url`, that of
    the object which has ended (signed with the account's secret). The URL was checked when it was set.
    `result_of` is a request whose result the body will be, in place of the event's.

    Raises TooLarge for a body of more than 100,000 characters.
    """
    if len(event.body) > BODY_CHARACTERS_MAX:
        raise TooLarge(f"An event's body has at most {BODY_CHARACTERS_MAX:,} characters.")
    now = int(clock.now())
    delivery = Delivery(
        destination_id=destination_id,
        id=event.id,
        account_id=account_id,
        event_type=event.type,
        body=event.body,
        created_at=now,
        due_at=now + LOOK_AGAIN_SECONDS,
        url=url,
        result_of=result_of,
    )
    try:
        changes.commit(Add(delivery))
    except StateConflict:
        return False  # and whoever was first asks for it, or the minute does
    callbacks.ask(ask_for(delivery))
    return True
