"""Writes a batch's plan in the file's order, and finds out for which of its runs another order would pay.

Memory holds a shard in the making for each model.
"""

from __future__ import annotations

from contextlib import ExitStack
from secrets import token_hex

from offpeak.core.batch import Batch
from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.draft import Draft, DraftRun
from offpeak.core.errors import Unavailable
from offpeak.core.layout import invalid_lines_key, manifest_key
from offpeak.core.ports import Multipart, Writer
from offpeak.core.pricing import batch_prices
from offpeak.core.request_line import FinishedLine
from offpeak.core.run import Run
from offpeak.core.shard import PlannedShard, Segment
from offpeak.planner.cut_reordered import CHUNKS_MAX, ChunkCutter
from offpeak.planner.cut_shards import ShardCutter, shard_limits
from offpeak.planner.sharing import estimate_cached_share
from offpeak.steps.merge_reports import MergedReports, RefusedLine
from offpeak.steps.streamed_object import StreamedObject
from offpeak.wire.checkpoints import encode_record
from offpeak.wire.manifest import encode_shard
from offpeak.wire.results import render_error


def draft_plan(
    batch: Batch, found: MergedReports, now: int, *, gain_min: float, writer: Writer,
    multipart: Multipart, catalogue: Catalogue,
) -> Draft:  # fmt: skip
    """Its manifests are written, and the error lines of a batch that skips its bad lines. A run is to be reordered
    where that gains `gain_min` of its prompts' bytes, and it has more than a shard to gain them in."""
    with ExitStack() as stack:

        def begin(key: str) -> StreamedObject:
            opened = StreamedObject(key, writer=writer, multipart=multipart)
            return stack.enter_context(opened)

        cut = token_hex(8)
        manifests: dict[str, _Manifest] = {}
        refused = begin(invalid_lines_key(batch.id))
        invalid_lines = 0
        for piece in found.pieces():
            if isinstance(piece, RefusedLine):
                refused.write(encode_record(_finish(batch, piece)))
                invalid_lines += 1
                continue
            if piece.model not in manifests:
                key = manifest_key(batch.id, len(manifests), cut)
                manifests[piece.model] = _Manifest(_model(piece.model, catalogue), key, begin(key))
            manifests[piece.model].add(piece.segment)
        runs = [
            manifest.finish(batch, number, found, now, gain_min)
            for number, manifest in enumerate(manifests.values())
        ]
        if invalid_lines:
            refused.close()
    lines = sum(each.run.lines for each in runs) + invalid_lines
    return Draft(runs=tuple(runs), lines=lines, invalid_lines=invalid_lines)


class _Manifest:
    """A run in the making: its spans go in, its shards go to S3."""

    def __init__(self, model: Model, key: str, stored: StreamedObject) -> None:
        self._model = model
        self._key = key
        self._stored = stored
        self._cutter = ShardCutter(shard_limits(model))
        self._chunks = ChunkCutter()
        self._lines = 0
        self._bytes = 0

    def add(self, span: Segment) -> None:
        self._lines += span.lines
        self._bytes += span.stop - span.start
        self._write(self._cutter.add(span))

    def finish(
        self, batch: Batch, number: int, found: MergedReports, now: int, gain_min: float
    ) -> DraftRun:
        self._write(self._cutter.finish())
        self._stored.close()
        share = estimate_cached_share(found.sharing(self._model.id))
        chunks = self._chunks.finish()
        pays = self._cutter.shards > 1 and len(chunks) <= CHUNKS_MAX and share.pays(gain_min)
        run = self._run(batch, number, found.completion_tokens(self._model.id), now)
        return DraftRun(run=run, share=share, chunks=chunks if pays else ())

    def _run(self, batch: Batch, number: int, completion_tokens: int, now: int) -> Run:
        return Run(
            batch_id=batch.id, account_id=batch.account_id, number=number, model=self._model.id,
            pool=self._model.pool, endpoint=batch.endpoint, manifest_key=self._key,
            manifest_bytes=self._stored.bytes, shards=self._cutter.shards, lines=self._lines,
            deadline=batch.expires_at, created_at=now, prices=batch_prices(self._model.prices),
            input_bytes=self._bytes, completion_tokens=completion_tokens,
            schedule=batch.schedule,
        )  # fmt: skip

    def _write(self, shard: PlannedShard | None) -> None:
        if shard is not None:
            line = encode_shard(shard)
            self._stored.write(line)
            self._chunks.add(shard, len(line))


def _model(model_id: str, catalogue: Catalogue) -> Model:
    model = catalogue.known(model_id)
    if model is None:
        raise Unavailable(f"The model {model_id} left the catalogue while a batch was validated.")
    return model


def _finish(batch: Batch, bad: RefusedLine) -> FinishedLine:
    result = render_error(
        batch_id=batch.id, line=bad.number, custom_id=bad.custom_id, code=bad.error.code,
        message=bad.error.message,
    )  # fmt: skip
    return FinishedLine(number=bad.number, kind="error", result=result)
