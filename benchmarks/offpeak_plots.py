"""The benchmark's pictures: what each strategy emits, and a week of a pool."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from benchmarks.offpeak import Played

STRATEGIES = ("at once", "at night", "planned")
COLOURS = {
    "at once": "#c0504d",
    "at night": "#8064a2",
    "planned": "#4f9a54",
    "clairvoyant": "#999999",
}
DOTS = 80
WEEK_BEGIN, WEEK_HOURS = 24 * 28, 24 * 7


def draw(played: Sequence[Played], folder: Path) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    drawn = [_emissions(played, folder / "offpeak-emissions.png")]
    for each in played:
        if (
            each.scene.trace in ("steady", played[0].scene.trace)
            and len(each.scene.year.regions) == 1
        ):
            drawn.append(_week(each, folder / "offpeak-week.png"))
            break
    return drawn


def _emissions(played: Sequence[Played], path: Path) -> Path:
    """Carbon of each strategy, of that of running at once."""
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(played) * 1.7 + 1.2), layout="constrained")
    at = np.arange(len(played))
    for offset, name in enumerate((*STRATEGIES, "clairvoyant")):
        once = [each.outcomes["at once"].grams for each in played]
        grams = [
            each.clairvoyant.grams if name == "clairvoyant" else each.outcomes[name].grams
            for each in played
        ]
        shares = [100 * found / most for found, most in zip(grams, once, strict=True)]
        axes.barh(at + (offset - 1.5) * 0.2, shares, 0.2, label=name, color=COLOURS[name])
    axes.set_yticks(at, [f"{each.scene.name}, {each.scene.trace}" for each in played])
    axes.invert_yaxis()
    axes.set_xlabel("carbon, starts and idling included: % of running at once")
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
    return _save(figure, path)


def _week(played: Played, path: Path) -> Path:
    """Intensity, and the instances that two strategies had."""
    region = played.scene.year.regions[0]
    last = played.scene.year.hours
    begin = min(WEEK_BEGIN, max(0, last - WEEK_HOURS))
    hours = np.arange(begin, min(last, begin + WEEK_HOURS))
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(9, 4.6), sharex=True, layout="constrained", height_ratios=(1, 1.2)
    )
    days = hours / 24
    above.plot(days, played.scene.year.grams[region][hours], color="#444444", linewidth=1)
    above.set_ylabel(f"{region}, gCO2eq/kWh")
    for name, alpha in (("at once", 0.35), ("planned", 0.85)):
        instances = played.outcomes[name].instances[region][hours]
        below.fill_between(
            days, instances, step="post", alpha=alpha, color=COLOURS[name], label=name
        )
    below.set_ylabel("instances, mean of an hour")
    below.set_xlabel(f"day of the year ({played.scene.trace} arrivals)")
    below.legend(frameon=False, ncols=2)
    return _save(figure, path)


def _save(figure: Figure, path: Path) -> Path:
    figure.savefig(path, dpi=DOTS, metadata={"Software": None})
    plt.close(figure)
    return path
