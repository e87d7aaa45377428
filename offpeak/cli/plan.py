"""`offpeak plan …`: what the pools are planned to do, and an operator's word on it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from offpeak.aws.connect import Aws
from offpeak.cli.deployment import Stage, deployment
from offpeak.cli.errors import UsageError
from offpeak.cli.show import AsJson, say, show_json, show_rows, time_text
from offpeak.cli.words import checked, read_models
from offpeak.core.errors import NotFound
from offpeak.core.model import Model
from offpeak.core.plan import Override, OverrideKind
from offpeak.core.pool import ModelPools, pools_of
from offpeak.planner.pool_outlook import cold_start_basis, cold_start_seconds
from offpeak.steps.override_pool import OVERRIDE_SECONDS_MAX, check_override, override_pool

MODELS_FILE = Path("models.toml")
_UNITS = {"m": 60, "h": 3_600, "d": 86_400}
app = typer.Typer(help="What the pools are planned to do, for operators with AWS credentials.")

Pool = Annotated[
    str, typer.Argument(metavar="POOL", help="A model's pool; POOL@REGION for one elsewhere.")
]
For = Annotated[str, typer.Option("--for", metavar="4h", help="How long: 30m, 4h, 2d; at most 7d.")]
Models = Annotated[Path, typer.Option(help="The models file of this deployment.")]


@app.callback(invoke_without_command=True)
def plan(
    context: typer.Context, models: Models = MODELS_FILE, as_json: AsJson = False,
    stage: Stage = "dev",
) -> None:  # fmt: skip
    """Show what each pool has, is to have next, and why."""
    if context.invoked_subcommand is not None:
        return
    catalogue = read_models(models)
    now = time.time()
    with deployment(stage, "pools") as aws:
        rows = [row for model in catalogue.models for row in _rows(model, aws, now)]
    if as_json:
        show_json(rows)
        return
    if not rows:
        say("Nothing is planned yet: plan_capacity looks every minute.")
        return
    show_rows(
        ("pool", "instances", "next", "override", "planned", "cold start", "why"),
        (
            (
                row["pool"], _instances_text(row), row["next"], row["override"] or "",
                row["planned"], _cold_start_text(row), row["why"],
            )
            for row in rows
        ),
    )  # fmt: skip


@app.command()
def hold(
    pool: Pool, for_: For = "4h", models: Models = MODELS_FILE, stage: Stage = "dev"
) -> None:  # fmt: skip
    """Start nothing that can wait. What must run now, or would miss its window, runs."""
    _override(pool, OverrideKind.HOLD, for_, models, stage)


@app.command()
def release(
    pool: Pool, for_: For = "4h", models: Models = MODELS_FILE, stage: Stage = "dev"
) -> None:  # fmt: skip
    """Let all that waits begin now, whatever the hour costs."""
    _override(pool, OverrideKind.RELEASE, for_, models, stage)


@app.command()
def boost(
    pool: Pool,
    instances: Annotated[int, typer.Argument(min=1, help="At least so many.")],
    for_: For = "4h",
    models: Models = MODELS_FILE,
    stage: Stage = "dev",
) -> None:
    """Have at least so many instances."""
    _override(pool, OverrideKind.BOOST, for_, models, stage, instances)


@app.command()
def follow(pool: Pool, models: Models = MODELS_FILE, stage: Stage = "dev") -> None:
    """Take hold, release or boost back: the pool follows the plan again."""
    _override(pool, None, "1m", models, stage)


def _override(
    pool: str, kind: OverrideKind | None, for_: str, models: Path, stage: str, instances: int = 0
) -> None:
    now = int(time.time())
    until = now + _seconds(for_)
    catalogue = read_models(models)
    word = None if kind is None else Override(kind=kind, until=until, instances=instances)
    with checked():
        check_override(pool, word, now, catalogue)
    with deployment(stage, "pools") as aws:
        override_pool(
            pool, word, now=now, catalogue=catalogue, pools=aws.pools, changes=aws.changes
        )
    if word is None:
        say(f"{pool} follows the plan again, within a minute.")
    else:
        of = f" {instances}" if instances else ""
        say(f"{pool}: {word.kind}{of} until {time_text(until)}. It holds within a minute.")


def _seconds(text: str) -> int:
    found = re.fullmatch(r"([1-9][0-9]{0,5})([mhd])", text)
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0
    if not 0 < seconds <= OVERRIDE_SECONDS_MAX:
        raise UsageError(
            f"--for {text!r}: give minutes, hours or days, as 30m, 4h or 2d; at most 7d."
        )
    return seconds


def _rows(model: Model, aws: Aws, now: float) -> Iterator[Mapping[str, Any]]:
    """Of a model that nobody planned yet, none."""
    try:
        row = aws.pools.get(model.pool)
    except NotFound:
        return
    for pool, there in pools_of(model).items():
        yield _row(row, pool, there, now)


def _row(row: ModelPools, pool: str, there: Model, now: float) -> Mapping[str, Any]:
    state, plan = row.state(pool), row.plan
    override = state.override_at(now)
    planned = next((each for each in plan.pools if each.pool == pool), None) if plan else None
    stale = plan is not None and row.plan_at(now) is None
    return {
        "pool": pool, "instances": state.instances, "draining": state.draining,
        "next": _next_text(row, pool, now),
        "override": None if override is None else f"{override.kind} until {time_text(int(override.until))}",
        "planned": "" if plan is None else time_text(int(plan.made_at)) + (" (stale)" if stale else ""),
        "cold_start_seconds": round(cold_start_seconds(there, state)),
        "cold_start_basis": cold_start_basis(there, state), "starts": list(state.starts),
        "why": planned.why if planned else "",
    }  # fmt: skip


def _instances_text(row: Mapping[str, Any]) -> str:
    count = "?" if row["instances"] is None else str(row["instances"])
    return f"{count} (draining)" if row["draining"] else count


def _cold_start_text(row: Mapping[str, Any]) -> str:
    basis, starts = row["cold_start_basis"], len(row["starts"])
    return f"{row['cold_start_seconds']} s ({basis}{f', {starts} starts' if starts else ''})"


def _next_text(row: ModelPools, pool: str, now: float) -> str:
    """When, and to how many, the planned instances change next."""
    plan = row.plan
    planned = next((each for each in plan.pools if each.pool == pool), None) if plan else None
    if plan is None or planned is None:
        return ""
    first = plan.slot(now)
    for slot in range(first + 1, len(planned.instances)):
        if planned.instances[slot] != planned.instances[first]:
            when = time_text(plan.starts_at + slot * plan.slot_seconds)
            return f"{planned.instances[slot]} at {when}"
    return ""
