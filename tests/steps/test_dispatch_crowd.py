"""Runs of several accounts through the real dispatcher, whatever their sizes and in whatever order shards end."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from offpeak.core.catalogue import Catalogue
from offpeak.core.model import Model
from offpeak.core.ports import Add, Save
from offpeak.core.run import Run
from offpeak.core.shard import PlannedShard, Segment, Shard
from offpeak.core.usage import Counts, Usage
from offpeak.steps.cancel_batch import cancel_batch
from offpeak.wire.manifest import encode_shard
from tests.steps.simulation import CATALOGUE
from tests.steps.ward import ACCOUNT, BATCH, POOL, Ward

SHARDS_MAX = 20
# (account, shards, lines of each shard, how much later its deadline is)
RUNS = st.lists(
    st.tuples(
        st.sampled_from("abc"), st.integers(1, SHARDS_MAX), st.sampled_from([1, 10, 500]),
        st.integers(0, 1_000),
    ),
    min_size=1, max_size=8,
)  # fmt: skip


def pool_of(instances: int, runs: list[tuple[str, int, int, int]]) -> Ward:
    ward = Ward(lines=4)
    ward.catalogue = Catalogue((replace(CATALOGUE.models[0], instances_max=instances),))
    ward.release()
    template = ward.run
    ward.call(cancel_batch, ACCOUNT, BATCH)
    for n, (account, shards, lines, later) in enumerate(runs):
        key = f"work/manifest-{n}"
        segment = Segment(key="k", start=0, stop=10, first_line=1, lines=lines)
        manifest = [
            encode_shard(PlannedShard(number=k, segments=(segment,))) for k in range(shards)
        ]
        ward.writer.put(key, b"".join(manifest))
        run = replace(
            template, batch_id=f"batch_x{n}", account_id=account, manifest_key=key,
            manifest_bytes=sum(map(len, manifest)), shards=shards, lines=shards * lines,
            deadline=template.deadline + later, version=0,
        )  # fmt: skip
        ward.changes.commit(Add(run))
    return ward


def end(ward: Ward, shard: Shard) -> None:
    counts = Counts(total=shard.lines, completed=shard.lines)
    done = shard.done(counts=counts, usage=Usage(), output=None, errors=None, report_key=None)
    run = ward.runs.get(shard.batch_id, shard.run)
    ward.changes.commit(Save(done), Save(run.shard_ended(counts, Usage())))


def ready(ward: Ward) -> tuple[list[Run], list[Run]]:
    """Express runs that have a shard to dispatch, and others."""
    waiting = [
        ward.runs.get(run.batch_id, run.number)
        for express in (True, False)
        for run in ward.runs.queued(POOL, express=express)
    ]
    return (
        [run for run in waiting if run.tier.name == "EXPRESS"],
        [run for run in waiting if run.tier.name != "EXPRESS"],
    )


def check_slots(ward: Ward, model: Model) -> None:
    """No more in flight than there are slots, none empty beside a run that may have it."""
    at_work = list(ward.shards.open(POOL))
    ordinary = sum(not shard.express for shard in at_work)
    assert len(at_work) <= model.in_flight_max
    assert ordinary <= model.ordinary_in_flight_max
    express, others = ready(ward)
    assert not express or len(at_work) == model.in_flight_max
    full = len(at_work) == model.in_flight_max or ordinary == model.ordinary_in_flight_max
    assert not others or full


@settings(max_examples=40)
@given(RUNS, st.integers(1, 4), st.integers(0, 2**16))
def test_every_shard_goes_once_and_no_slot_is_lost(
    runs: list[tuple[str, int, int, int]], instances: int, seed: int
) -> None:
    ward, random = pool_of(instances, runs), Random(seed)
    model = ward.catalogue.models[0]
    while True:
        ward.dispatch()
        check_slots(ward, model)
        at_work = sorted(ward.shards.open(POOL), key=lambda shard: shard.id)
        if not at_work:
            break
        for shard in random.sample(at_work, random.randint(1, len(at_work))):
            end(ward, shard)
        ward.clock.advance(1)
    gone = Counter(call.invocation_id for call in ward.endpoints.invocations)
    wanted = {
        f"batch_x{n}.0.{k}.1" for n, (_, shards, _, _) in enumerate(runs) for k in range(shards)
    }
    assert gone == Counter(wanted)
