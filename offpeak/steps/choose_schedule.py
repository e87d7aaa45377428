"""Which schedule and window a batch gets: its own word, else its account's, else the service's."""

from __future__ import annotations

from collections.abc import Mapping

from offpeak.core.account import Account
from offpeak.core.errors import InvalidRequest
from offpeak.core.schedule import METADATA_KEY, SCHEDULE_DEFAULT, Schedule

WINDOW_DEFAULT = "24h"


def choose_schedule(
    account: Account, asked: Schedule | None, metadata: Mapping[str, str] | None
) -> Schedule:
    """`asked` is the request's own field; clients that can send none say it in the metadata. Raises InvalidRequest for
    a word in the metadata that is no schedule."""
    if asked is not None:
        return asked
    told = (metadata or {}).get(METADATA_KEY)
    if told is None:
        return account.schedule or SCHEDULE_DEFAULT
    try:
        return Schedule(told)
    except ValueError:
        raise InvalidRequest(
            f"Invalid value for 'metadata.{METADATA_KEY}': {told[:40]!r}. Give {' or '.join(Schedule)}.",
            param=f"metadata.{METADATA_KEY}", code="invalid_value",
        ) from None  # fmt: skip


def choose_window(account: Account, asked: str | None) -> str:
    return asked or account.completion_window or WINDOW_DEFAULT
