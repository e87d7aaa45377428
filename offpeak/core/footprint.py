"""What work took of instances: seconds, and what these drew, emitted and cost, by the assumptions of
`instance_power.py`. All whole numbers, for they are added up in rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from offpeak.core.instance_power import instance_power

HOUR = 3_600


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """`instance_ms`, thousandths of an instance's seconds, are measured (worker/share.py). Energy in thousandths of a
    watt-hour, carbon in milligrams of CO2eq and cost in micro-dollars are reckoned from them; `unknown_ms` and
    `unpriced_ms` are those of instance types of which no power or no price is known, and which these lack."""

    instance_ms: int = 0
    energy_mwh: int = 0
    carbon_mg: int = 0
    microdollars: int = 0
    unknown_ms: int = 0
    unpriced_ms: int = 0

    def __add__(self, other: Metered) -> Metered:
        return Metered(
            instance_ms=self.instance_ms + other.instance_ms,
            energy_mwh=self.energy_mwh + other.energy_mwh,
            carbon_mg=self.carbon_mg + other.carbon_mg,
            microdollars=self.microdollars + other.microdollars,
            unknown_ms=self.unknown_ms + other.unknown_ms,
            unpriced_ms=self.unpriced_ms + other.unpriced_ms,
        )

    def part(self, share: float) -> Metered:
        """So much of it, from 0 to 1."""
        return Metered(
            instance_ms=round(self.instance_ms * share), energy_mwh=round(self.energy_mwh * share),
            carbon_mg=round(self.carbon_mg * share), microdollars=round(self.microdollars * share),
            unknown_ms=round(self.unknown_ms * share), unpriced_ms=round(self.unpriced_ms * share),
        )  # fmt: skip

    @classmethod
    def sum(cls, all_of: Iterable[Metered | None]) -> Metered:
        return sum((each for each in all_of if each is not None), cls())

    @classmethod
    def of(cls, instance_seconds: float, instance_type: str | None, grams: float) -> Metered:
        """At `grams` of CO2eq for a kWh."""
        hours = instance_seconds / HOUR
        milliseconds = round(instance_seconds * 1_000)
        power = instance_power(instance_type) if instance_type else None
        if power is None:
            return cls(instance_ms=milliseconds, unknown_ms=milliseconds, unpriced_ms=milliseconds)
        usd = power.usd_per_hour
        return cls(
            instance_ms=milliseconds, energy_mwh=round(hours * power.kilowatts * 1e6),
            carbon_mg=round(hours * power.kilowatts * grams * 1_000),
            microdollars=0 if usd is None else round(hours * usd * 1e6),
            unpriced_ms=milliseconds if usd is None else 0,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
    """A batch's, and what the same seconds would have emitted at home, had they run from its creation on."""

    metered: Metered
    carbon_at_once_mg: int
