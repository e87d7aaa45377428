"""Ends a gathering: what it holds is cut into shards, and goes the road that batches go.

Its batch is born validated and planned, in one transaction with its run and the gathering's end; `process_batch` finds
it so and goes on to release the run. What this doesn't start, the sweep does.
"""

from __future__ import annotations

from contextlib import suppress
from secrets import token_hex

from offpeak.core.batch import Batch
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.errors import InvalidRequest, StateConflict, Unavailable
from offpeak.core.gathering import GATHERING_ACCOUNT, SEGMENTS_MAX, Gathering
from offpeak.core.layout import JSON_LINES, manifest_key, segment_key
from offpeak.core.ports import Add, Changes, Clock, Gatherings, Save, Workflows, Writer
from offpeak.core.pricing import batch_prices
from offpeak.core.run import Run
from offpeak.core.shard import PlannedShard, Segment
from offpeak.planner.byte_ranges import workflow_input
from offpeak.planner.cut_shards import cut_shards, shard_limits
from offpeak.steps.move_shard import CONFLICTS_MAX
from offpeak.wire.manifest import encode_shard


def is_full(gathering: Gathering, catalogue: Catalogue) -> bool:
    """Whether it fills a shard, or its row."""
    model = catalogue.of_pool(gathering.lane.pool)
    return (
        gathering.lines >= model.shard_lines_max
        or gathering.bytes >= model.shard_bytes_max
        or len(gathering.segments) >= SEGMENTS_MAX
    )


def seal_gathering(
    lane_id: str, gathering_id: str, *, clock: Clock, catalogue: Catalogue, writer: Writer,
    changes: Changes, gatherings: Gatherings, workflows: Workflows,
) -> Batch | None:  # fmt: skip
    """The batch that it became by this call; None when it was sealed before. Raises Unavailable."""
    for _ in range(CONFLICTS_MAX):
        gathering = gatherings.get(lane_id, gathering_id)
        if not gathering.is_open:
            return None
        now = int(clock.now())
        run = _run(gathering, _model(gathering, catalogue), now, writer)
        batch = _batch(gathering, now)
        try:
            changes.commit(Save(gathering.sealed(now)), Add(batch), Add(run))
        except StateConflict:
            continue  # something was appended meanwhile, or somebody else has sealed it
        with suppress(Unavailable):
            workflows.start(batch.id, workflow_input(batch))
        return batch
    raise Unavailable(
        f"Gathering {gathering_id} changed {CONFLICTS_MAX} times while it was sealed."
    )


def _model(gathering: Gathering, catalogue: Catalogue) -> Model:
    model = catalogue.known(gathering.lane.model)
    if model is None:
        raise InvalidRequest(f"The model {gathering.lane.model} has left the catalogue.")
    return model


def _run(gathering: Gathering, model: Model, now: int, writer: Writer) -> Run:
    """Writes the manifest, under a key of its own: a sealing that comes too late spoils none."""
    shards = list(cut_shards(_segments(gathering), shard_limits(model)))
    manifest = b"".join(map(encode_shard, shards))
    key = manifest_key(gathering.id, 0, token_hex(8))
    writer.put(key, manifest, JSON_LINES)
    return Run(
        batch_id=gathering.id, account_id=GATHERING_ACCOUNT, number=0, model=model.id,
        pool=model.pool, endpoint=gathering.lane.endpoint, manifest_key=key,
        manifest_bytes=len(manifest), shards=len(shards), lines=_lines(shards),
        deadline=gathering.first_deadline, created_at=now, input_bytes=gathering.bytes,
        prices=batch_prices(model.prices), completion_tokens=gathering.completion_tokens,
    )  # fmt: skip


def _segments(gathering: Gathering) -> list[Segment]:
    """Its lines numbered from 1, in the order in which they were collected."""
    found: list[Segment] = []
    first_line = 1
    for each in gathering.segments:
        found.append(
            Segment(
                key=segment_key(each.name), start=each.start, stop=each.stop,
                first_line=first_line, lines=each.lines,
            )
        )  # fmt: skip
        first_line += each.lines
    return found


def _lines(shards: list[PlannedShard]) -> int:
    return sum(shard.lines for shard in shards)


def _batch(gathering: Gathering, now: int) -> Batch:
    """It ends with the last of its requests' windows; its run is as urgent as the first."""
    batch = Batch(
        id=gathering.id, account_id=GATHERING_ACCOUNT, input_file_id="", input_key="",
        input_bytes=0, endpoint=gathering.lane.endpoint,
        completion_window=f"{gathering.lane.window_seconds // 3600}h", created_at=now,
        expires_at=gathering.last_deadline, accent="exxa",
    )  # fmt: skip
    return batch.planned(
        model=gathering.lane.model, total=gathering.lines, invalid_lines=0, now=now
    )
