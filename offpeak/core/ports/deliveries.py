"""Deliveries: their rows, and the queue that asks for attempts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from offpeak.core.delivery import AttemptAsk, Delivery
from offpeak.core.ports.state import Page

ASK_DELAY_SECONDS_MAX = 900


class Deliveries(Protocol):
    def get(self, account_id: str, destination_id: str, delivery_id: str) -> Delivery:
        """A missing or foreign one raises NotFound."""
        ...

    def list(
        self, account_id: str, destination_id: str, *, limit: int, after: str | None
    ) -> Page[Delivery]:
        """Newest first. `after` is the id the last page ended with."""
        ...

    def due(self, now: int, *, limit: int) -> Sequence[Delivery]:
        """Open ones of all accounts that somebody must look at, the longest due first. May lag behind."""
        ...


class Callbacks(Protocol):
    def ask(self, ask: AttemptAsk, delay_seconds: int = 0) -> None:
        """Somebody should make this attempt, `delay_seconds` (at most 900) from now. Asking twice does no harm, and
        those who ask much for one destination don't hold up another's."""
        ...
