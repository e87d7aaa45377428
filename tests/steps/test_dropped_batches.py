"""Dropped objects through the real steps, in storms: events twice and late, steps that die between writes, bytes
that are replaced while they run. What lies beside an object in the end is the last word on the bytes that lie there."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import pytest

from offpeak.core.batch import Batch, BatchStatus
from offpeak.core.drop import DropSource
from offpeak.core.errors import NotFound
from offpeak.core.layout import error_key, output_key
from tests.steps.interleaving import CALM, STORM, Faults
from tests.steps.simulation import Simulation, request

SEEDS = int(os.environ.get("OFFPEAK_SIMULATION_SEEDS", "40")) // 2
KEY = "drop/acct_1/a.jsonl"
STATUS, OUTPUT, ERRORS = (f"drop/acct_1/a.{end}" for end in (
    "status.json", "output.jsonl", "errors.jsonl"
))  # fmt: skip


def lines(count: int, prefix: str) -> bytes:
    return b"".join(request(f"{prefix}{n}") + b"\n" for n in range(count))


class Folder:
    def __init__(self, seed: int, faults: Faults) -> None:
        self.world = Simulation(seed, faults)
        self.reader = self.world.memory.reader

    @property
    def batches(self) -> list[Batch]:
        return list(self.world.memory.batches.list("acct_1", limit=100, after=None).rows)

    @property
    def source(self) -> DropSource:
        return DropSource(key=KEY, etag=self.reader.head(KEY).etag)

    def status(self) -> Mapping[str, Any]:
        status: Mapping[str, Any] = json.loads(self.reader.read(STATUS))
        return status

    def read(self, key: str) -> bytes | None:
        try:
            return self.reader.read(key)
        except NotFound:
            return None

    def is_settled(self, count: int) -> bool:
        """Everything ended, and nobody has anything left to do."""
        ended = [batch for batch in self.batches if batch.is_terminal]
        return len(ended) == count and not self.world.tasks

    def run(self, count: int) -> None:
        self.world.run(lambda: self.is_settled(count))
        self.world.end()

    def check_last_word(self) -> Batch:
        """The status is final and of the bytes that lie there; so are the results. The batch they are of."""
        [batch] = [b for b in self.batches if b.drop == self.source]
        status = self.status()
        assert (status["final"], status["batch"]["id"]) == (True, batch.id)
        assert status["status"] == batch.status.value
        for named, beside, file_id, result in (
            (status["output"], OUTPUT, batch.output_file_id, output_key(batch.id)),
            (status["errors"], ERRORS, batch.error_file_id, error_key(batch.id)),
        ):
            assert named == (beside if file_id else None)
            assert self.read(beside) == (self.reader.read(result) if file_id else None)
        return batch


def test_an_object_is_run_and_told_of() -> None:
    folder = Folder(1, CALM)
    folder.world.drop(KEY, lines(12, "c"))
    folder.run(1)
    batch = folder.check_last_word()
    assert (batch.status, batch.counts.completed + batch.counts.failed) == (
        BatchStatus.COMPLETED, 12,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(SEEDS))
def test_in_a_storm_an_object_is_one_batch_with_its_results_beside_it(seed: int) -> None:
    folder = Folder(seed, STORM)
    body = lines(20, "c")
    folder.world.drop(KEY, body)
    folder.world.drop(KEY, body)
    folder.run(1)
    assert folder.check_last_word().counts.total == 20


@pytest.mark.parametrize("seed", range(SEEDS))
def test_in_a_storm_replaced_bytes_never_mix_and_the_new_ones_have_the_last_word(seed: int) -> None:
    folder = Folder(seed, STORM)
    folder.world.drop(KEY, lines(20, "old"))
    folder.world.run(lambda: bool(folder.batches) and folder.world.happens(0.02))
    folder.world.drop(KEY, lines(16, "new"))
    folder.run(2)
    newer = folder.check_last_word()
    assert newer.counts.total == 16
    found = [json.loads(line) for line in (folder.read(OUTPUT) or b"").splitlines()]
    found += [json.loads(line) for line in (folder.read(ERRORS) or b"").splitlines()]
    assert sorted(line["custom_id"] for line in found) == sorted(f"new{n}" for n in range(16))
    [older] = [batch for batch in folder.batches if batch.id != newer.id]
    for key in (output_key(older.id), error_key(older.id)):
        for line in (folder.read(key) or b"").splitlines():
            assert not (json.loads(line)["custom_id"] or "").startswith("new")
