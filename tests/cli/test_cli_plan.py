"""`offpeak plan`, over a deployment in memory."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from offpeak.cli import plan as module
from offpeak.cli.errors import UsageError
from offpeak.core.models_text import write_models
from offpeak.core.plan import CapacityPlan, OverrideKind, PoolPlan
from offpeak.core.pool import ModelPools, PoolState
from offpeak.core.ports import Add
from offpeak.memory.memory import Memory
from tests.core.test_pool import MODEL

POOL, NORTH = "model", "model@eu-north-1"


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Memory:
    """With a models file in the folder that commands run in."""
    memory = Memory()

    @contextmanager
    def deployment(stage: str, *tables: str) -> Iterator[Memory]:
        yield memory

    monkeypatch.setattr(module, "deployment", deployment)
    monkeypatch.chdir(tmp_path)
    Path("models.toml").write_text(write_models([MODEL]))
    return memory


def run(*arguments: str) -> str:
    done = CliRunner().invoke(module.app, list(arguments), env={"COLUMNS": "400"})
    assert done.exit_code == 0, done.output
    return done.output


def test_the_plan_is_shown_pool_by_pool(memory: Memory) -> None:
    now = int(time.time())
    start = now // 900 * 900
    plan = CapacityPlan(
        made_at=now, starts_at=start, slot_seconds=900, runs=(),
        pools=tuple(
            PoolPlan(
                pool=pool, region="r", instances=(0, 0, 2), seconds=(0, 0, 1), why=why,
                cold_start_seconds=60,
            )
            for pool, why in ((POOL, "Waits for the night."), (NORTH, "Nothing to do."))
        ),
    )  # fmt: skip
    states = {
        POOL: PoolState(instances=1, draining_since=1, starts=(640, 600, 700)),
        NORTH: PoolState(instances=0),
    }
    memory.changes.commit(Add(ModelPools(id=POOL, plan=plan, states=states)))
    shown = run()
    assert "1 (draining)" in shown
    assert "Waits for the night." in shown
    assert "640 s (measured, 3 starts)" in shown
    assert "600 s (prior)" in shown
    assert NORTH in shown
    assert "2 at" in shown


def test_a_word_is_kept_shown_and_taken_back(memory: Memory) -> None:
    run("boost", NORTH, "2", "--for", "2h")
    kept = memory.pools.get(POOL).state(NORTH).override
    assert kept is not None
    assert (kept.kind, kept.instances) == (OverrideKind.BOOST, 2)
    assert 7_100 < kept.until - time.time() <= 7_200
    assert "boost until" in run()
    run("follow", NORTH)
    assert memory.pools.get(POOL).state(NORTH).override is None
    for word in ("hold", "release"):
        run(word, POOL)
        kept = memory.pools.get(POOL).state(POOL).override
        assert kept is not None
        assert kept.kind == word


@pytest.mark.parametrize("text", ["", "4", "h", "0h", "8d", "1w"])
def test_how_long_takes_minutes_hours_and_days(memory: Memory, text: str) -> None:
    done = CliRunner().invoke(module.app, ["hold", POOL, "--for", text])
    assert isinstance(done.exception, UsageError)
