"""What waiting for the right hour and region saves: a year of hourly signals, replayed under the planner that ships.

    make bench-offpeak SIGNALS=my.csv      (any CSV: a time, then gCO2eq/kWh of one region a column, hour by hour)

Without `SIGNALS`, the file that `OFFPEAK_SIGNALS` names, else ../shared/data/carbon-2020.csv where it is, else a year
that is generated: days, weeks, seasons and weather in three regions.

    each region by itself, then all of them with a third of the instances each
      × steady     a little each hour          × bursty    batches in bunches        × huge     a large one each week
      × planned    this planner: forecasts that err, batches that take longer, speeds that wander, regions without
                   instances                              at once    what comes is run
        at night   from 0 to 6 o'clock                    clairvoyant   the linear program of the whole year, which
                   knows all that will be, divides instances and never lacks any: a bound that nobody reaches

Every batch has 24 hours. The last line is JSON:

    saving_vs_clairvoyant   carbon saved against running at once, of what the clairvoyant saves, both with the carbon of
                            starts and idling: the traces added up, in the region (or all together) where it is least
    deadlines_missed        of the planner, in all traces and regions
    gpu_seconds_ratio       the most that was paid of instances, less one cold start a pool and day, to the work's own
    plan_vs_lp_worst        the dearest of many plans with free starts, to the linear program's optimum
    plan_ms                 a plan of 2,000 deadlines in three regions, the median
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from benchmarks.linear_program import Clairvoyant, cheapest_cost, clairvoyant
from benchmarks.offpeak_plans import expected_cost, free_starts, random_situation
from benchmarks.offpeak_plots import draw
from benchmarks.offpeak_world import (
    COLD_START,
    DRAIN,
    KILOWATTS,
    AtNight,
    AtOnce,
    Conditions,
    Outcome,
    Planned,
    Strategy,
    World,
)
from benchmarks.offpeak_year import (
    DAY_HOURS,
    HOUR,
    Arrival,
    Forecasts,
    Year,
    arrivals,
    generate_year,
    hourly,
    read_year,
    shortened,
)
from offpeak.planner.plan_capacity import plan

ROOT = Path(__file__).parent.parent
RECORDED = ROOT.parent / "shared/data/carbon-2020.csv"
TRACES = ("steady", "bursty", "huge")
WINDOW_HOURS = 24
INSTANCES = 6
"""Of one region alone; where there are more regions, they share as many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One trace in some regions."""

    year: Year
    trace: str
    noise: float
    seed: int

    @property
    def name(self) -> str:
        return " + ".join(self.year.regions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Played:
    scene: Scene
    outcomes: Mapping[str, Outcome]
    clairvoyant: Clairvoyant
    work_only: Clairvoyant
    """Starts cost it nothing."""

    @property
    def saving(self) -> float:
        return _share([self])

    @property
    def work_saving(self) -> float:
        """The same of the carbon of work alone: neither side's starts count, and the clairvoyant's are free."""
        once = self.outcomes["at once"].work_grams
        return (once - self.outcomes["planned"].work_grams) / (once - self.work_only.work_grams)


def _share(played: Sequence[Played]) -> float:
    once = sum(each.outcomes["at once"].grams for each in played)
    planned = sum(each.outcomes["planned"].grams for each in played)
    return (once - planned) / (once - sum(each.clairvoyant.grams for each in played))


def play(scene: Scene) -> Played:
    year = scene.year
    each = max(1, INSTANCES // len(year.regions))
    conditions = Conditions(instances_max=dict.fromkeys(year.regions, each), seed=scene.seed)

    def work() -> list[Arrival]:
        return arrivals(
            scene.trace, year, window_hours=WINDOW_HOURS, seed=scene.seed,
            error=conditions.work_error,
        )  # fmt: skip

    took: list[float] = []
    strategies: Mapping[str, Strategy] = {
        "planned": Planned(Forecasts(year, scene.noise, scene.seed + 1), conditions, took),
        "at once": AtOnce(),
        "at night": AtNight(each * len(year.regions)),
    }
    outcomes = {
        name: World(year, conditions).run(each, work()) for name, each in strategies.items()
    }
    outcomes["planned"].plan_seconds = took
    arrived = hourly(work(), year.hours)
    # Speeds wander: the clairvoyant's instances are as fast, over the year, as the planner's were.
    arrived *= outcomes["planned"].busy / HOUR / arrived.sum()
    bounds = [
        clairvoyant(
            year.grams, conditions.instances_max, arrived, window_hours=WINDOW_HOURS,
            kilowatts=KILOWATTS, start_hours=seconds / HOUR,
        )
        for seconds in (COLD_START + DRAIN, 0)
    ]  # fmt: skip
    return Played(scene=scene, outcomes=outcomes, clairvoyant=bounds[0], work_only=bounds[1])


def tell(played: Played) -> None:
    print(f"\n{played.scene.name}, {played.scene.trace}")
    print(
        f"  {'':<12}{'kg CO2eq':>10}{'of work':>10}{'$':>9}{'utilised':>10}{'starts':>8}{'missed':>8}{'saves':>8}"
    )
    once = played.outcomes["at once"].grams
    for name, each in played.outcomes.items():
        print(
            f"  {name:<12}{each.grams / 1_000:>10.1f}{each.work_grams / 1_000:>10.1f}{each.dollars:>9.0f}"
            f"{each.utilisation:>10.1%}{each.starts:>8}{each.missed:>8}{1 - each.grams / once:>8.1%}"
        )
    best = played.clairvoyant
    print(
        f"  {'clairvoyant':<12}{best.grams / 1_000:>10.1f}{best.work_grams / 1_000:>10.1f}{'–':>9}{'–':>10}"
        f"{best.starts:>8.0f}{0:>8}{1 - best.grams / once:>8.1%}"
    )
    planned = played.outcomes["planned"]
    print(
        f"  of the clairvoyant's saving {played.saving:.1%}; of work alone, its starts free: {played.work_saving:.1%};"
        f" GPU-seconds {planned.gpu_seconds_ratio:.3f}; nearest to a deadline {planned.latest / 60:.0f} min;"
        f" a plan {1_000 * statistics.mean(planned.plan_seconds):.1f} ms",
        flush=True,
    )


# ── plans by themselves ──────────────────────────────────────────────────────────────────────────────────────────────


def measure_plans(situations: int) -> tuple[float, float]:
    """The dearest plan to the linear program's optimum, and the median milliseconds of a plan of 2,000 deadlines in
    three regions."""
    worst = 1.0
    for seed in range(situations):
        asked = random_situation(
            seed, deadlines=(50, 400, 2_000)[seed % 3], regions=1 + seed % 3,
            share=(0.2, 0.5, 0.8)[seed // 3 % 3],
        )  # fmt: skip
        if best := cheapest_cost(free_starts(asked)):
            worst = max(worst, expected_cost(asked, plan(free_starts(asked))) / best)
    took = []
    for seed in range(9):
        asked = random_situation(seed, deadlines=2_000)
        began = time.perf_counter()
        plan(asked)
        took.append(1_000 * (time.perf_counter() - began))
    return worst, statistics.median(took)


def find_year(named: str | None) -> Year:
    if named:
        return read_year(Path(named))
    return read_year(RECORDED) if RECORDED.exists() else generate_year()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--signals", default=os.environ.get("OFFPEAK_SIGNALS"), help="a CSV")
    parser.add_argument("--noise", type=float, default=0.05, help="of forecasts, of the mean")
    parser.add_argument("--days", type=int, help="only the first so many of the year")
    parser.add_argument("--traces", nargs="*", default=TRACES, choices=TRACES)
    parser.add_argument("--situations", type=int, default=45, help="to hold against the program")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--plots", type=Path, help="a folder for PNGs")
    asked = parser.parse_args()
    year = find_year(asked.signals)
    if asked.days:
        year = shortened(year, asked.days * DAY_HOURS)
    print(
        f"{year.hours:,} hours of {', '.join(year.regions)} ({year.source}); forecasts err by {asked.noise:.0%}"
    )
    apart = [(region,) for region in year.regions] if len(year.regions) > 1 else []
    scenes = [
        Scene(year=year.only(regions), trace=trace, noise=asked.noise, seed=asked.seed)
        for regions in (*apart, year.regions)
        for trace in asked.traces
    ]
    played: list[Played] = []
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as pool:
        for each in pool.map(play, scenes):
            tell(each)
            played.append(each)
    shares = {
        name: _share([each for each in played if each.scene.name == name])
        for name in dict.fromkeys(each.scene.name for each in played)
    }
    print("\nOf the clairvoyant's saving, all traces:")
    for name, share in shares.items():
        print(f"  {name:<20}{share:.1%}")
    if asked.plots:
        draw(played, asked.plots)
    worst, milliseconds = measure_plans(asked.situations)
    planned = [each.outcomes["planned"] for each in played]
    figures = {
        "saving_vs_clairvoyant": round(min(shares.values()), 3),
        "deadlines_missed": sum(each.missed for each in planned),
        "gpu_seconds_ratio": round(max(each.gpu_seconds_ratio for each in planned), 3),
        "plan_vs_lp_worst": round(worst, 4), "plan_ms": round(milliseconds, 1),
    }  # fmt: skip
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
