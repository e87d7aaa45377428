"""Signals out of the bucket, remembered for some minutes: they change once an hour, and shards end all the time."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from offpeak.core.errors import NotFound
from offpeak.core.layout import signals_prefix
from offpeak.core.ports import Clock, Reader
from offpeak.core.signal import Signal
from offpeak.wire.signals import decode_signals

logger = logging.getLogger(__name__)
REMEMBERED_SECONDS = 300
SOURCES_MAX = 20
SIGNAL_BYTES_MAX = 2_000_000
"""Of a source: its newest issue and some earlier ones."""


class StoredSignals:
    """The port `Signals`. One list and a read a source, every five minutes a region at most."""

    def __init__(self, reader: Reader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._read: dict[str, tuple[float, Sequence[Signal]]] = {}

    def newest(self, region: str) -> Sequence[Signal]:
        now = self._clock.now()
        read_at, found = self._read.get(region, (float("-inf"), ()))
        if now - read_at >= REMEMBERED_SECONDS:
            found = self._stored(region)
            self._read[region] = now, found
        return found

    def _stored(self, region: str) -> Sequence[Signal]:
        found: list[Signal] = []
        for at, info in enumerate(self._reader.list(signals_prefix(region))):
            if at == SOURCES_MAX:
                logger.error("%s holds over %d signals", signals_prefix(region), SOURCES_MAX)
                break
            try:
                body = self._reader.read(info.key, 0, SIGNAL_BYTES_MAX)
                found.extend(decode_signals(body))
            except (ValueError, NotFound) as error:
                logger.error("%s is no signal: %s", info.key, error)
        return found
