"""Gives an account a new secret for the callbacks whose URL came with a request."""

from __future__ import annotations

from offpeak.core.ports import Add, Changes, Clock, Save, Webhooks
from offpeak.core.webhook import CallbackSecret


def rotate_callback_secret(
    account_id: str, *, keeps_old: bool, clock: Clock, webhooks: Webhooks, changes: Changes
) -> CallbackSecret:
    """With `keeps_old` the secret that is replaced signs along for a day. Raises StateConflict where two rotate it at
    once: one of them has."""
    found = webhooks.callback_secret(account_id)
    rotated = found.rotated(keeps_old=keeps_old, now=int(clock.now()))
    changes.commit(Save(rotated) if found.version else Add(rotated))
    return rotated
