"""Deliveries: their rows, the queue that asks for attempts, and the way out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from offpeak.core.delivery import AttemptAsk, Delivery
from offpeak.core.ports.state import Page

ANSWER_BYTES_MAX = 65_536
"""Of a receiver's answer, as much is read and thrown away; what is longer is cut off."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a receiver answered; `retry_after_seconds` is 0 where it doesn't say."""

    status_code: int
    retry_after_seconds: int = 0


class Destinations(Protocol):
    """The internet, by the rules of `offpeak/core/destination.py`."""

    def check(self, url: str, *, param: str = "url") -> None:
        """Raises InvalidRequest for a URL that breaks the rules, whose name isn't known, or leads inside."""
        ...

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Sends to an address that was checked just now; a redirect is an answer like any other.

        Raises InvalidRequest as `check` does, Unavailable when there is no answer within seconds.
        """
        ...
