"""What the grids of AWS's regions emit in a typical hour: yearly averages, each with its source and year, and for three
grids how the hours of a season differ. It is what the product goes by where nobody tells of today's grid.

Every number is of the average kWh. Two methods are among them, and they differ by some tens of grams where gas is
burnt: `life cycle` counts how fuel and plants are made, `direct` only what the plants emit.

Sources, as they were read in 2026-11:

    Ember     carbon intensity of electricity by country, Ember's "Yearly Electricity Data" as Our World in Data
              publishes it (CC BY 4.0), in the copy of CodeCarbon's `global_energy_mix.json` (commit b05965e). Where
              regions of one country lie in different grids (Australia, India, Japan), it is still the country's
    eGRID     US EPA, eGRID2023, table 1, total output emission rate in CO2e by subregion; lb/MWh × 0.45359237
    mix       the province's yearly mix of 2023 (Canada Energy Regulator, in CodeCarbon's `canada_energy_mix.json`)
              times IPCC AR5 (2014, WG III, annex III), medians: gas 490, coal 820, hydro 24, wind 11, solar 48,
              biomass 230, and oil at 650. The country's average (170) would be far off for either
    shapes    hourly intensities of 2020 of "Let's Wait Awhile" (Wiesner et al., Middleware '21; production by
              ENTSO-E), averaged by season and hour over the year's mean. Levels are not taken from there

Which eGRID subregion a region draws on is our reading of the map, from memory: Northern Virginia SRVC, Ohio RFCW,
Northern California CAMX, Oregon NWPP. So are the coordinates, to about a tenth of a degree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Percent of the year's mean by season (winter from December on, spring, summer, autumn) and hour, UTC."""

    zone: str
    year: int
    percent: tuple[tuple[int, ...], ...]

    def factor(self, month: int, hour: int) -> float:
        return self.percent[month % 12 // 3][hour] / 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """`grams` is gCO2eq of the average kWh in `year`, in `zone`. The region lies at `latitude`, `longitude`."""

    zone: str
    grams: float
    year: int
    source: Literal["Ember", "eGRID2023", "mix"]
    method: Literal["life cycle", "direct"]
    latitude: float
    longitude: float
    shape: Shape | None = None

    @property
    def described(self) -> str:
        shape = f", hours as of {self.shape.year}" if self.shape else ""
        return f"yearly average of {self.zone}, {self.year} ({self.source}, {self.method}{shape})"


GERMANY = Shape(zone="Germany", year=2020, percent=(
    (93, 91, 91, 92, 95, 100, 105, 106, 105, 102, 101, 100,
     100, 102, 105, 107, 108, 108, 107, 104, 101, 100, 97, 94),
    (81, 80, 81, 83, 86, 87, 84, 78, 72, 67, 65, 64,
     64, 65, 69, 75, 85, 92, 94, 93, 90, 88, 85, 82),
    (105, 104, 104, 107, 108, 106, 101, 94, 88, 84, 81, 80,
     80, 83, 86, 93, 101, 109, 115, 117, 117, 116, 112, 109),
    (115, 114, 115, 118, 123, 127, 127, 123, 118, 112, 109, 107,
     109, 113, 120, 128, 132, 133, 131, 129, 126, 123, 119, 116),
))  # fmt: skip
BRITAIN = Shape(zone="Great Britain", year=2020, percent=(
    (82, 82, 81, 79, 79, 81, 93, 106, 112, 114, 112, 110,
     112, 112, 114, 116, 121, 125, 125, 122, 115, 106, 95, 85),
    (84, 84, 83, 82, 82, 84, 89, 93, 91, 86, 84, 83,
     82, 82, 83, 86, 96, 104, 108, 109, 108, 101, 92, 85),
    (94, 93, 92, 93, 95, 99, 105, 107, 105, 102, 101, 101,
     101, 101, 102, 103, 109, 112, 116, 118, 119, 116, 106, 98),
    (85, 85, 82, 83, 85, 92, 104, 110, 110, 108, 106, 105,
     104, 106, 108, 114, 121, 124, 125, 121, 114, 105, 94, 85),
))  # fmt: skip
FRANCE = Shape(zone="France", year=2020, percent=(
    (106, 105, 103, 103, 107, 113, 115, 116, 116, 115, 115, 115,
     114, 114, 114, 115, 116, 116, 116, 113, 111, 111, 111, 106),
    (64, 63, 62, 63, 65, 67, 69, 71, 72, 73, 75, 74,
     73, 71, 69, 68, 68, 68, 67, 66, 67, 68, 67, 65),
    (102, 100, 100, 101, 103, 104, 106, 107, 108, 109, 111, 109,
     108, 106, 105, 104, 106, 107, 106, 107, 112, 112, 107, 105),
    (104, 100, 100, 104, 110, 115, 119, 121, 121, 121, 121, 118,
     117, 117, 117, 118, 119, 120, 118, 115, 116, 116, 110, 106),
))  # fmt: skip


def _country(
    zone: str, grams: float, at: Sequence[float], *, year: int = 2023, shape: Shape | None = None
) -> Grid:
    return Grid(
        zone=zone, grams=grams, year=year, source="Ember", method="life cycle", latitude=at[0],
        longitude=at[1], shape=shape,
    )  # fmt: skip


def _egrid(subregion: str, pounds: float, at: Sequence[float]) -> Grid:
    return Grid(
        zone=f"eGRID {subregion}", grams=round(pounds * 0.45359237, 1), year=2023, source="eGRID2023",
        method="direct", latitude=at[0], longitude=at[1],
    )  # fmt: skip


def _province(zone: str, grams: float, at: Sequence[float]) -> Grid:
    return Grid(
        zone=zone, grams=grams, year=2023, source="mix", method="life cycle", latitude=at[0],
        longitude=at[1],
    )  # fmt: skip


GRIDS: Mapping[str, Grid] = {
    "us-east-1": _egrid("SRVC", 593.079, (38.9, -77.5)),
    "us-east-2": _egrid("RFCW", 915.959, (40.0, -83.0)),
    "us-west-1": _egrid("CAMX", 438.150, (37.4, -121.9)),
    "us-west-2": _egrid("NWPP", 635.337, (45.8, -119.7)),
    "ca-central-1": _province("Quebec", 27.0, (45.5, -73.6)),
    "ca-west-1": _province("Alberta", 434.0, (51.0, -114.1)),
    "mx-central-1": _country("Mexico", 507.2, (20.6, -100.4)),
    "sa-east-1": _country("Brazil", 98.3, (-23.5, -46.6)),
    "eu-central-1": _country("Germany", 381.0, (50.1, 8.7), shape=GERMANY),
    "eu-central-2": _country("Switzerland", 34.8, (47.4, 8.5)),
    "eu-north-1": _country("Sweden", 40.7, (59.3, 17.9)),
    "eu-south-1": _country("Italy", 330.7, (45.5, 9.2)),
    "eu-south-2": _country("Spain", 174.1, (41.6, -0.9)),
    "eu-west-1": _country("Ireland", 290.8, (53.3, -6.3)),
    "eu-west-2": _country("United Kingdom", 237.6, (51.5, -0.1), shape=BRITAIN),
    "eu-west-3": _country("France", 56.0, (48.9, 2.3), shape=FRANCE),
    "il-central-1": _country("Israel", 582.9, (32.1, 34.8), year=2022),
    "me-central-1": _country("United Arab Emirates", 561.1, (24.5, 54.4), year=2022),
    "me-south-1": _country("Bahrain", 904.6, (26.1, 50.6), year=2022),
    "af-south-1": _country("South Africa", 707.7, (-33.9, 18.4)),
    "ap-east-1": _country("Hong Kong", 699.5, (22.3, 114.2), year=2022),
    "ap-east-2": _country("Taiwan", 642.4, (25.0, 121.5)),
    "ap-northeast-1": _country("Japan", 485.4, (35.7, 139.7)),
    "ap-northeast-2": _country("South Korea", 430.6, (37.6, 127.0)),
    "ap-northeast-3": _country("Japan", 485.4, (34.7, 135.5)),
    "ap-south-1": _country("India", 713.4, (19.1, 72.9)),
    "ap-south-2": _country("India", 713.4, (17.4, 78.5)),
    "ap-southeast-1": _country("Singapore", 470.8, (1.3, 103.9)),
    "ap-southeast-2": _country("Australia", 548.7, (-33.9, 151.2)),
    "ap-southeast-3": _country("Indonesia", 675.9, (-6.2, 106.8), year=2022),
    "ap-southeast-4": _country("Australia", 548.7, (-37.8, 145.0)),
    "ap-southeast-5": _country("Malaysia", 605.8, (3.1, 101.7), year=2022),
    "ap-southeast-6": _country("New Zealand", 112.8, (-36.8, 174.8)),
    "ap-southeast-7": _country("Thailand", 549.6, (13.8, 100.5)),
}
"""By AWS region. China's and the governments' regions, which have no such pools, are missing."""
WORLD = _country("the world", 481.0, (0.0, 0.0))
"""Of a region that isn't listed. Ember's world average for 2023, from memory."""


def grid_of(region: str) -> Grid:
    return GRIDS.get(region, WORLD)
