"""Every minute: asks for the attempts whose time has come, and for those whose message or sender was lost."""

from __future__ import annotations

import logging
from dataclasses import replace

from offpeak.core.delivery import ask_for
from offpeak.core.errors import OffpeakError, StateConflict
from offpeak.core.ports import Callbacks, Changes, Clock, Deliveries, Save

logger = logging.getLogger(__name__)
DELIVERIES_MAX = 1_000
"""What one call asks for. Where there is more, the next one goes on."""
LOOK_AGAIN_SECONDS = 900
"""When nothing has come of an ask: a long queue is no reason to lengthen it every minute."""


def requeue_deliveries(
    *, clock: Clock, deliveries: Deliveries, changes: Changes, callbacks: Callbacks
) -> int:
    """How many attempts were asked for. The row first, so that two calls at once ask for each once."""
    now = int(clock.now())
    asked = 0
    for delivery in deliveries.due(now, limit=DELIVERIES_MAX):
        waiting = delivery.asked_for(now + LOOK_AGAIN_SECONDS)
        try:
            changes.commit(Save(waiting))
            callbacks.ask(ask_for(replace(waiting, version=waiting.version + 1)))
            asked += 1
        except StateConflict:
            continue  # somebody has just moved it
        except OffpeakError:
            logger.exception("delivery %s: not asked for", delivery.id)
    return asked
