"""Which requests of gatherings' shards were cancelled, one by one, while these waited or ran.

Requests don't know their shard, so it is told the other way round: lists under the hours in which requests were sent,
and the worker reads those of its own hours, once for all shards on an instance. Each list is read once.
"""

from __future__ import annotations

import logging

from offpeak.core.errors import NotFound
from offpeak.core.ports import Reader
from offpeak.wire.cancelled import decode_ids, hour_of

logger = logging.getLogger(__name__)


class Cancellations:
    """`learn` and `look` call ports and are meant for a thread; the rest is quick."""

    def __init__(self, prefix: str, reader: Reader) -> None:
        self.prefix = prefix
        self._reader = reader
        self._hours: set[str] = set()
        self._read: set[str] = set()
        self._ids: set[str] = set()

    def __contains__(self, request_id: str) -> bool:
        return request_id in self._ids

    def is_new(self, request_id: str) -> bool:
        """Whether nobody has looked yet at the hour in which it was sent."""
        hour = hour_of(request_id)
        return hour is not None and hour not in self._hours

    def learn(self, request_id: str) -> None:
        """Reads what is told of its hour, now and at every look from here on."""
        hour = hour_of(request_id)
        if hour is not None:
            self._look_at(hour)
            self._hours.add(hour)

    def look(self) -> None:
        for hour in sorted(self._hours):
            self._look_at(hour)

    def _look_at(self, hour: str) -> None:
        for info in self._reader.list(f"{self.prefix}{hour}/"):
            if info.key in self._read:
                continue
            try:
                self._ids.update(decode_ids(self._reader.read(info.key)))
            except (ValueError, NotFound) as error:
                logger.error("the list %s can't be read: %s", info.key, error)
            self._read.add(info.key)
