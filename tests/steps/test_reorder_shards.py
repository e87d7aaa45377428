"""From a shuffled file to shards in the order of prefixes: planned, rewritten chunk by chunk, planned again."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.core.account import Account
from offpeak.core.batch import Batch, BatchStatus, OnInvalid
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.errors import NotFound
from offpeak.core.ports import Add, Save
from offpeak.core.run import Run, RunStatus
from offpeak.core.shard import PlannedShard
from offpeak.memory.memory import Memory
from offpeak.planner import cut_reordered
from offpeak.steps import draft_plan
from offpeak.steps.plan_shards import Planning, plan_shards
from offpeak.steps.reorder_shards import reorder_shards
from offpeak.steps.validate_range import validate_range
from offpeak.wire.manifest import iterate_shards
from offpeak.wire.prompts import prompt_reader
from offpeak.wire.request_lines import read_line
from offpeak.wire.segments import read_lines
from tests.planner.lru_cache import cached_bytes
from tests.steps.ward import call_step

ENDPOINT = "/v1/completions"
IDS = ("acct_1", "batch_1")
CACHE = 131_072
CATALOGUE = Catalogue(
    tuple(
        Model(
            id=name, pool=name, source="s", endpoints=(ENDPOINT,), context_tokens=4_096,
            shard_lines_max=30,
        )
        for name in ("one", "two")
    )
)  # fmt: skip


def line(custom_id: str, prompt: str, model: str = "one") -> bytes:
    body = {"model": model, "prompt": prompt}
    return json.dumps(
        {"custom_id": custom_id, "method": "POST", "url": ENDPOINT, "body": body}
    ).encode()


def shared(groups: int, of_each: int, *, models: Sequence[str] = ("one",)) -> list[bytes]:
    """Shuffled lines of many groups, too many for the cache."""
    chance = random.Random(4)
    beginnings = [chance.randbytes(1_100).hex() for _ in range(groups)]
    asked = [(beginning, chance.choice(models)) for beginning in beginnings for _ in range(of_each)]
    chance.shuffle(asked)
    return [
        line(f"c{number}", beginning + f" question {number}", model)
        for number, (beginning, model) in enumerate(asked, 1)
    ]


class Ports(Memory):
    catalogue: Catalogue = CATALOGUE
    gain_min: float = 0.05


@dataclass
class World:
    """A batch, validated in ranges of so many bytes."""

    lines: Sequence[bytes]
    on_invalid: OnInvalid = "fail"
    range_bytes: int = 100_000
    gain_min: float = 0.05
    memory: Ports = field(default_factory=Ports)

    def __post_init__(self) -> None:
        self.memory.gain_min = self.gain_min
        content = b"".join(each + b"\n" for each in self.lines)
        self.memory.writer.put("files/acct_1/file-1", content)
        batch = Batch(
            id="batch_1", account_id="acct_1", input_file_id="file-1",
            input_key="files/acct_1/file-1", input_bytes=len(content), endpoint=ENDPOINT,
            completion_window="24h", created_at=1, expires_at=86_401, on_invalid=self.on_invalid,
        )  # fmt: skip
        self.memory.changes.commit(Add(Account(id="acct_1", name="a", created_at=1)), Add(batch))
        starts = range(0, len(content), self.range_bytes)
        self.ranges = len(starts)
        for index, start in enumerate(starts):
            stop = min(start + self.range_bytes, len(content))
            self.call(validate_range, *IDS, index, start, stop)

    def call(self, step: Callable[..., Any], *args: Any) -> Any:
        return call_step(self.memory, step, *args)

    def plan(self, *, is_reordered: bool = False) -> Planning:
        planning: Planning = self.call(plan_shards, *IDS, self.ranges, is_reordered)
        return planning

    def reorder(self, planning: Planning) -> int:
        return sum(
            self.call(reorder_shards, *IDS, each.run, each.chunk) for each in planning.chunks
        )

    def process(self) -> Planning:
        planning = self.plan()
        if planning.next == "reorder":
            self.reorder(planning)
            planning = self.plan(is_reordered=True)
        return planning

    @property
    def runs(self) -> list[Run]:
        return sorted(self.memory.runs.of_batch("batch_1"), key=lambda run: run.number)

    def shards(self, run: Run) -> list[PlannedShard]:
        manifest = self.memory.reader.read(run.manifest_key)
        assert len(manifest) == run.manifest_bytes
        shards = [shard for shard, _, _ in iterate_shards([manifest])]
        assert [shard.number for shard in shards] == list(range(run.shards))
        return shards

    def planned_lines(self) -> dict[int, bytes]:
        found: dict[int, bytes] = {}
        for run in self.runs:
            shards = self.shards(run)
            assert sum(shard.lines for shard in shards) == run.lines
            for shard in shards:
                lines = list(read_lines(self.memory.reader, shard.segments))
                assert len(lines) == shard.lines
                for number, raw in lines:
                    assert shard.first_line <= number <= shard.last_line
                    assert number not in found
                    assert read_line(raw, number).model == run.model
                    found[number] = raw
        return found

    def cached_share(self) -> float:
        """What an exact cache has of the prompts, if each shard's lines are put in order."""
        read = prompt_reader(ENDPOINT).read
        some = [
            prompt
            for run in self.runs
            for shard in self.shards(run)
            for prompt in sorted(
                read(raw) for _, raw in read_lines(self.memory.reader, shard.segments)
            )
        ]
        return cached_bytes(some, cache_bytes=CACHE, block_bytes=256) / sum(map(len, some))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of some shards each, so that there are several."""
    cutter = cut_reordered.ChunkCutter
    monkeypatch.setattr(draft_plan, "ChunkCutter", lambda: cutter(bytes_max=300_000))


def test_a_shuffled_file_is_rewritten_so_that_a_group_meets_one_shard() -> None:
    lines = shared(120, 4)
    world = World(lines)
    plain = World(lines, gain_min=1.0)
    assert plain.process().next == "run"
    assert world.process().next == "run"
    [run] = world.runs
    assert run.is_reordered
    assert not plain.runs[0].is_reordered
    assert (run.status, run.lines, run.input_bytes) == (
        RunStatus.HELD,
        480,
        plain.runs[0].input_bytes,
    )
    assert world.planned_lines() == dict(enumerate(lines, 1))
    shards_of: dict[bytes, set[int]] = defaultdict(set)
    for shard in world.shards(run):
        assert shard.lines <= 30
        assert len(shard.segments) > 1  # from several chunks
        for _, raw in read_lines(world.memory.reader, shard.segments):
            shards_of[raw.partition(b" question")[0][-2_000:]].add(shard.number)
    assert len(shards_of) == 120
    assert max(map(len, shards_of.values())) == 1
    assert world.cached_share() > 0.65
    assert plain.cached_share() < 0.4


def test_the_estimate_is_told_and_comes_true() -> None:
    lines = shared(120, 4)
    world = World(lines, range_bytes=10**7)
    plain = World(lines, gain_min=1.0)
    plain.process()
    planning = world.plan()
    share = planning.shares["one"]
    world.reorder(planning)
    world.plan(is_reordered=True)
    assert share.whole_file == pytest.approx(world.cached_share(), abs=0.06)
    assert share.in_shards == pytest.approx(plain.cached_share(), abs=0.06)
    assert share.levels == (2_048,)


@pytest.mark.parametrize(
    "lines",
    [
        sorted(shared(120, 4), key=lambda each: each.partition(b'"prompt"')[2]),
        [line(f"c{n}", random.Random(n).randbytes(1_000).hex()) for n in range(200)],
        [line(f"c{n}", "a common beginning " * 50 + str(n)) for n in range(200)],
        shared(7, 4),
        [line(f"c{n}", "short") for n in range(200)],
    ],
    ids=["in order", "nothing shared", "one beginning for all", "a single shard", "short"],
)
def test_where_it_cannot_pay_nothing_is_rewritten(lines: list[bytes]) -> None:
    world = World(lines)
    assert world.plan().next == "run"
    assert not world.runs[0].is_reordered
    assert not [info for info in world.memory.reader.list("work/") if "reordered" in info.key]
    assert world.planned_lines() == dict(enumerate(lines, 1))


def test_of_a_file_with_two_models_each_run_is_decided_by_itself() -> None:
    alike = [line(f"d{n}", "short", "two") for n in range(100)]
    lines = shared(120, 4) + alike
    random.Random(1).shuffle(lines)
    world = World(lines)
    assert world.process().next == "run"
    assert {run.model: run.is_reordered for run in world.runs} == {"one": True, "two": False}
    assert world.planned_lines() == dict(enumerate(lines, 1))


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_reordering_loses_no_line_and_doubles_none(data: st.DataObject) -> None:
    """With bad lines, duplicates, two models, any ranges; whatever the gain, for it is always rewritten."""
    good = st.builds(
        lambda custom_id, beginning, model: line(custom_id, beginning * 300 + custom_id, model),
        st.integers(0, 60).map(str), st.sampled_from("abcdef"), st.sampled_from(["one", "two"]),
    )  # fmt: skip
    lines = data.draw(st.lists(st.one_of(good, st.just(b"bad")), min_size=35, max_size=120))
    world = World(
        lines, on_invalid="skip", range_bytes=data.draw(st.integers(300, 50_000)), gain_min=-1.0
    )
    seen: set[str] = set()
    expected: dict[int, bytes] = {}
    for number, raw in enumerate(lines, 1):
        custom_id = None if raw == b"bad" else read_line(raw, number).custom_id
        if custom_id is not None and custom_id not in seen:
            seen.add(custom_id)
            expected[number] = raw
    assert world.process().next in ("run", "close")
    assert world.planned_lines() == expected


def test_everything_may_happen_twice() -> None:
    world = World(shared(120, 4))
    planning = world.plan()
    assert world.plan() == planning
    assert world.reorder(planning) == 480
    objects = _rewritten(world)
    assert world.reorder(planning) == 480
    assert _rewritten(world) == objects
    assert world.plan(is_reordered=True).next == "run"
    runs = world.runs
    assert world.plan(is_reordered=True).next == "run"
    assert world.plan().next == "run"
    assert world.reorder(planning) == 0  # it runs already
    assert world.runs == runs


def _rewritten(world: World) -> dict[str, bytes]:
    infos = world.memory.reader.list("work/batch_1/0/reordered/")
    return {info.key: world.memory.reader.read(info.key) for info in infos}


def test_what_was_not_rewritten_runs_in_the_files_order() -> None:
    lines = shared(120, 4)
    world = World(lines)
    planning = world.plan()
    world.reorder(replace(planning, chunks=planning.chunks[1:]))
    assert world.plan(is_reordered=True).next == "run"
    assert not world.runs[0].is_reordered
    assert world.planned_lines() == dict(enumerate(lines, 1))


@pytest.mark.parametrize("rewritten", [False, True])
def test_a_batch_cancelled_meanwhile_ends_in_the_files_order(rewritten: bool) -> None:
    world = World(shared(120, 4))
    planning = world.plan()
    if rewritten:
        world.reorder(planning)
    batch = world.memory.batches.get(*IDS)
    world.memory.changes.commit(Save(batch.cancelling(5)))
    assert world.reorder(planning) == 0
    assert world.plan(is_reordered=True).next == "close"
    assert [(run.status, run.is_reordered) for run in world.runs] == [(RunStatus.CLOSING, False)]


def test_a_batch_cancelled_before_is_not_reordered() -> None:
    world = World(shared(120, 4))
    world.memory.changes.commit(Save(world.memory.batches.get(*IDS).cancelling(5)))
    assert world.plan().next == "close"


def test_a_refused_batch_is_not_reordered() -> None:
    world = World([*shared(120, 4), b"bad"])
    assert world.plan().next == "announce"
    assert world.memory.batches.get(*IDS).status is BatchStatus.FAILED


def test_without_a_draft_nothing_is_rewritten() -> None:
    with pytest.raises(NotFound):
        World(shared(3, 3)).call(reorder_shards, *IDS, 0, 0)
