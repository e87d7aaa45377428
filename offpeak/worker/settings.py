"""How the worker paces itself. Each setting is `OFFPEAK_` and its name in capitals in the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from offpeak.worker.port_calls import PortCalls


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """The defaults fit SageMaker: an invocation may take 3,600 s, and after SIGTERM 30 s are left.

    A lease outlasts two missed renewals. A cancelled run is seen within 30 s, and has 60 s to flush. A line's limit is
    below a shard's, so that every attempt gets ahead. After `shard_seconds_max` no line is admitted any more, and those
    in flight have `drain_seconds` to end. Each checkpoint is a write that is paid for: none is made when the results
    themselves will follow within `checkpoint_seconds`.
    """

    lease_seconds: float = 480.0
    renew_seconds: float = 150.0
    poll_seconds: float = 25.0
    checkpoint_seconds: float = 150.0
    checkpoint_bytes_max: int = 32_000_000
    shard_seconds_max: float = 3_000.0
    drain_seconds: float = 300.0
    line_seconds_max: float = 1_800.0
    line_attempts_max: int = 3
    retry_seconds: float = 1.0
    port_attempts_max: int = 5
    window_max: int = 4_096

    @property
    def port_calls(self) -> PortCalls:
        return PortCalls(attempts_max=self.port_attempts_max, retry_seconds=self.retry_seconds)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> WorkerSettings:
        """Raises ValueError for a setting that is no number above zero."""
        given: dict[str, float | int] = {}
        for field in fields(cls):
            name = "OFFPEAK_" + field.name.upper()
            if name in environment:
                given[field.name] = _positive(name, environment[name], whole=field.type == "int")
        return cls(**given)  # type: ignore[arg-type]  # each value has its field's type


def _positive(name: str, text: str, *, whole: bool) -> float | int:
    try:
        value = int(text) if whole else float(text)
    except ValueError:
        value = 0
    if not 0 < value < float("inf"):
        raise ValueError(
            f"{name} is {text!r}; it takes a {'whole ' if whole else ''}number above zero."
        )
    return value
