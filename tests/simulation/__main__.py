"""`python -m tests.simulation`: many seeds, then the seeded bugs. The last line is JSON.

--seeds 1000            how many worlds
--seed 17               one world again, with what broke in it; `--shrink` makes it small first
--scenario '{…}'        a world that was made small
--mutant NAME           one seeded bug
--no-mutants            without the seeded bugs
--remember              writes which seeds caught which bug, so that they are tried first
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation.mutants import Caught, mutants, remember, try_mutant
from tests.simulation.runner import Outcome, shrink, simulate, simulate_seed
from tests.simulation.scenario import decode, draw

FAILED_SEEDS = Path(__file__).parent / "failed_seeds.txt"


def main() -> int:
    arguments = _arguments()
    if arguments.scenario or arguments.seed is not None:
        given = (
            decode(json.loads(arguments.scenario)) if arguments.scenario else draw(arguments.seed)
        )
        outcome = simulate(given)
        _show(shrink(outcome) if outcome.violation and arguments.shrink else outcome)
        return int(outcome.violation is not None)
    if arguments.mutant:
        return int(not _told(try_mutant(arguments.mutant)))
    # Before the seeds, so that a patch that no longer applies is known in the first second.
    found = [] if arguments.no_mutants else mutants()
    processes = arguments.processes or os.cpu_count() or 1
    # What is there before the first world is looked through after each, otherwise.
    with ProcessPoolExecutor(processes, initializer=gc.freeze) as pool:
        violations = sum(_report(outcome) for outcome in _worlds(arguments.seeds, pool))
        caught = _tried(found, pool)
    if arguments.remember:
        remember(caught)
    summary = {
        "seeds": arguments.seeds, "violations": violations,
        "mutants": len(found), "mutants_caught": sum(each.violation is not None for each in caught),
    }  # fmt: skip
    print(json.dumps(summary))
    return int(violations > 0 or summary["mutants_caught"] < len(found))


def known_seeds() -> list[int]:
    """Every seed that ever failed."""
    lines = FAILED_SEEDS.read_text().splitlines()
    return [int(line.split()[0]) for line in lines if line and not line.startswith("#")]


def _worlds(seeds: int, pool: ProcessPoolExecutor) -> Iterator[Outcome]:
    """Those that ever failed first, then as many as were asked for."""
    wanted = list(dict.fromkeys([*known_seeds(), *range(seeds)]))[: max(seeds, len(known_seeds()))]
    started = time.monotonic()
    for done, outcome in enumerate(pool.map(simulate_seed, wanted, chunksize=4), 1):
        if done % 100 == 0 or done == len(wanted):
            print(f"{done} of {len(wanted)} worlds, {time.monotonic() - started:.0f} s", flush=True)
        yield outcome


def _tried(names: Sequence[str], pool: ProcessPoolExecutor) -> list[Caught]:
    started = time.monotonic()
    caught = []
    for each in pool.map(try_mutant, names):
        _told(each)
        caught.append(each)
    if names:
        print(f"{len(names)} seeded bugs, {time.monotonic() - started:.0f} s", flush=True)
    return caught


def _report(outcome: Outcome) -> bool:
    """Whether a promise was broken; then the smallest world that breaks it is shown, and how to see it again."""
    if outcome.violation is None:
        return False
    print(f"seed {outcome.scenario.seed}: {outcome.violation}. Making it small …", flush=True)
    _show(shrink(outcome))
    return True


def _show(outcome: Outcome) -> None:
    print(f"seed {outcome.scenario.seed}: {outcome.detail or 'every promise was kept'}")
    if outcome.violation:
        print(
            f"again: python -m tests.simulation --scenario '{json.dumps(outcome.scenario.encode())}'"
        )


def _told(caught: Caught) -> bool:
    how = f"caught by seed {caught.seed}: {caught.violation}" if caught.violation else "NOT CAUGHT"
    print(f"{caught.name:55} {how}", flush=True)
    return caught.violation is not None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.simulation", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--scenario")
    parser.add_argument("--shrink", action="store_true")
    parser.add_argument("--mutant")
    parser.add_argument("--no-mutants", action="store_true")
    parser.add_argument("--remember", action="store_true")
    parser.add_argument("--processes", type=int)
    return parser.parse_args()


if __name__ == "__main__":
    if os.environ.get("PYTHONHASHSEED") != "0":
        # The order of a set of strings is a coin toss otherwise, and a world would not be the same twice.
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(
            sys.executable,
            [sys.executable, "-W", "ignore", "-m", "tests.simulation", *sys.argv[1:]],
        )
    sys.exit(main())
