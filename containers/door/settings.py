"""The door's settings, from its environment. What `Aws` reads of it (tables, bucket) is not repeated here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MIB = 1 << 20


class SettingsError(ValueError):
    """A variable is missing or wrong; the message says which, and what it takes."""


@dataclass(frozen=True, kw_only=True)
class DoorSettings:
    """`gateway_url` is API Gateway's, with the stage, without a slash at its end: where all goes that isn't the door's
    own. `bytes_held_max` is what all uploads together may hold in memory. A client that sends nothing for
    `stall_seconds` has gone; requests under way when SIGTERM comes have `drain_seconds` to end. A load balancer in
    front must close its idle connections before `keep_alive_seconds`, or it sends a request into one that we close.
    """

    gateway_url: str
    bind_host: str = "0.0.0.0"  # noqa: S104 - the load balancer comes from outside the container
    port: int = 8080
    bytes_held_max: int = 1_024 * MIB
    stall_seconds: float = 120.0
    drain_seconds: int = 100
    keep_alive_seconds: int = 330

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> DoorSettings:
        """Raises SettingsError."""
        url = environment.get("OFFPEAK_GATEWAY_URL", "").rstrip("/")
        if not url.startswith(("https://", "http://")):
            raise SettingsError("OFFPEAK_GATEWAY_URL is not set; it takes API Gateway's URL.")
        number = _Numbers(environment)
        return cls(
            gateway_url=url,
            bind_host=environment.get("OFFPEAK_BIND_HOST", cls.bind_host),
            port=number("OFFPEAK_PORT", cls.port),
            bytes_held_max=number("OFFPEAK_BYTES_HELD_MAX", cls.bytes_held_max),
            stall_seconds=number("OFFPEAK_STALL_SECONDS", int(cls.stall_seconds)),
            drain_seconds=number("OFFPEAK_DRAIN_SECONDS", cls.drain_seconds),
            keep_alive_seconds=number("OFFPEAK_KEEP_ALIVE_SECONDS", cls.keep_alive_seconds),
        )


class _Numbers:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __call__(self, name: str, default: int) -> int:
        text = self._environment.get(name) or str(default)
        if not text.isdecimal() or int(text) == 0:
            raise SettingsError(f"{name} is {text[:80]!r}; it takes a whole number over 0.")
        return int(text)
