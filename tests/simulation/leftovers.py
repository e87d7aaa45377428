"""What nobody may leave behind: callbacks that were never made, rows that belong to nothing, parts, open work."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping

from offpeak.core.batch import Batch
from offpeak.core.delivery import Delivery, DeliveryStatus
from offpeak.core.enqueued import Enqueued
from offpeak.core.file import File, Upload
from offpeak.core.gathering import Gathering, is_gathering
from offpeak.core.request import Request
from offpeak.core.run import Run
from offpeak.core.shard import Shard
from offpeak.steps.finalize_batch import OUTPUT_PURPOSE
from tests.simulation.callers import RECEIVER
from tests.simulation.town import Town


def callbacks(town: Town) -> Iterator[tuple[str, object]]:
    """Every one at least once. Where a day was leapt over, the receiver's day of grace may be among it."""
    had_a_day = town.scenario.receiver == "well" or not town.scenario.jumps
    for row in town.rows(Delivery):
        if row.status is not DeliveryStatus.DELIVERED and had_a_day:
            yield "callback given up", row
    told = Counter(
        (post.url, json.loads(post.body)["data"]["id"]) for post in town.memory.destinations.posts
    )
    listening = {hook.account_id: hook.url for hook in town.webhooks}
    for batch in town.rows(Batch):
        if batch.account_id in listening and not told[listening[batch.account_id], batch.id]:
            yield "nobody told of a batch", batch.id
    for request in town.rows(Request):
        if request.callback and not told[RECEIVER, request.id]:
            yield "nobody told of a request", request.id


def leftovers(town: Town) -> Iterator[tuple[str, object]]:
    yield from _of_work(town)
    batches = {batch.id: batch for batch in town.rows(Batch)}
    yield from _of_files(town, batches)
    for gathering in town.rows(Gathering):
        if gathering.is_open or gathering.id not in batches:
            yield "open gathering", gathering
    for batch in batches.values():
        if not batch.is_terminal:
            yield "open batch", batch
    for enqueued in town.rows(Enqueued):
        if enqueued.tokens:
            yield "orphan tokens", enqueued
    if orphans := town.orphan_uploads():
        yield "orphan multipart upload", orphans


def _of_files(town: Town, batches: Mapping[str, Batch]) -> Iterator[tuple[str, object]]:
    files = town.rows(File)
    for file in files:
        batch = batches.get(file.filename.partition("_output")[0].partition("_error")[0])
        named = batch and file.id in (batch.output_file_id, batch.error_file_id)
        if file.purpose == OUTPUT_PURPOSE and not named:
            yield "orphan file", file
    uploaded = {upload.file_id for upload in town.rows(Upload)}
    for number, plan in enumerate(town.scenario.batches):
        found = [file for file in files if file.filename == f"{number}.jsonl" and not plan.dropped]
        if plan.uploaded and not {file.id for file in found} <= uploaded:
            yield "a file of no upload", found
        if len(found) > 1 and not (plan.uploaded or town.scenario.jumps):
            yield "a file twice", found


def _of_work(town: Town) -> Iterator[tuple[str, object]]:
    batches = {batch.id: batch for batch in town.rows(Batch)}
    runs = {run.id: run for run in town.rows(Run)}
    for shard in town.rows(Shard):
        run = runs.get(f"{shard.batch_id}.{shard.run}")
        if run is None or shard.number >= run.shards:
            yield "orphan shard", shard
        if shard.is_open:
            yield "open shard", shard
    for run in runs.values():
        if run.batch_id not in batches:
            yield "orphan run", run
        if run.open or run.has_more:
            yield "open run", run
        rows = [
            shard
            for shard in town.rows(Shard)
            if (shard.batch_id, shard.run) == (run.batch_id, run.number)
        ]
        if is_gathering(run.batch_id) and not all(shard.routed for shard in rows):
            yield "results that went nowhere", run
