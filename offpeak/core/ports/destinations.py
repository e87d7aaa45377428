"""The one way out to URLs that somebody else wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from offpeak.core.destination import Destination

ANSWER_BYTES_MAX = 65_536
"""Of a receiver's answer, as much is read and thrown away; what is longer is cut off."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a receiver answered; `retry_after_seconds` is 0 where it doesn't say."""

    status_code: int
    retry_after_seconds: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """The whole body, as it was sent."""

    status_code: int
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """A destination, and the addresses that its host stood for just now: all of them checked, at least one."""

    destination: Destination
    addresses: Sequence[str]


class Destinations(Protocol):
    """The internet, by the rules of `offpeak/core/destination.py`. Whatever connects to a URL that a caller or an
    operator wrote connects by this, or to the addresses that it gives."""

    def check(self, url: str, *, param: str = "url") -> None:
        """Raises InvalidRequest for a URL that breaks the rules, whose name isn't known, or leads inside."""
        ...

    def resolve(self, url: str, *, param: str = "url") -> Resolved:
        """Where to connect, for those who must hold connections of their own. Raises as `check` does, and Unavailable
        when the name servers don't answer."""
        ...

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Sends to an address that was checked just now; a redirect is an answer like any other.

        Raises InvalidRequest as `check` does, Unavailable when there is no answer within seconds.
        """
        ...

    def get(
        self, url: str, headers: Mapping[str, str], *, bytes_max: int, seconds_max: float,
        param: str = "url",
    ) -> Fetched:  # fmt: skip
        """What is there, in the same way and within the limits. Raises as `post` does, and TooLarge."""
        ...
