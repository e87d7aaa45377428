"""Takes registered requests out of the queue and appends them to their lanes' gatherings.

    records ──by lane──► lines in an object of S3 ──one conditional write──► the gathering's row ──► sealed in time

The append is what collects. A collector that dies before it leaves an object that nobody names; one that dies after it
leaves records that are delivered again, and those a collector looks up: in the segments of the gatherings since the
request was sent. So only a record that was received before costs a look, and no request is worked twice for a crash.
Were one worked twice all the same (SQS may double a record as if it were new), its row takes the first result only.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from secrets import token_hex

from offpeak.core.catalogue import Catalogue, Model
from offpeak.core.errors import InvalidRequest, NotFound, OffpeakError, StateConflict, Unavailable
from offpeak.core.gathering import Collected, GatheredSegment, Gathering, Lane
from offpeak.core.ids import GATHERING, REQUEST, birth, new_id
from offpeak.core.layout import JSON_LINES, segment_key
from offpeak.core.ports import (
    QUEUE_DELAY_SECONDS_MAX,
    Add,
    Callbacks,
    Changes,
    Clock,
    Gatherings,
    Reader,
    RequestQueue,
    Requests,
    Runs,
    Save,
    Shards,
    Workflows,
    Writer,
)
from offpeak.planner.cut_shards import span_limits
from offpeak.steps.move_shard import CONFLICTS_MAX
from offpeak.steps.seal_gathering import is_full, seal_gathering
from offpeak.steps.show_request import earliest_gathering, expired_ending_at
from offpeak.steps.tell_ending import tell_request
from offpeak.wire.request_lines import read_custom_id, render_request_line
from offpeak.wire.request_records import Reminder, RequestRecord, decode_record, encode_record
from offpeak.wire.segments import read_lines_of

logger = logging.getLogger(__name__)
SEGMENT_BYTES_MAX = 32_000_000
"""What one object holds, and a collector's memory."""
WINDOW_PARTS = 10
"""Nobody waits for company for more than this part of their window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A record as the queue gave it. `receives` counts its deliveries, this one included."""

    record_id: str
    text: str
    receives: int = 1


def collect_requests(
    received: Sequence[Received], *, clock: Clock, catalogue: Catalogue, reader: Reader,
    writer: Writer, changes: Changes, requests: Requests, gatherings: Gatherings, runs: Runs,
    shards: Shards, workflows: Workflows, request_queue: RequestQueue, callbacks: Callbacks,
) -> list[str]:  # fmt: skip
    """The ids of the records that were not taken in: to be delivered again."""
    collector = _Collector(
        clock, catalogue, reader, writer, changes, requests, gatherings, runs, shards, workflows,
        request_queue, callbacks,
    )  # fmt: skip
    failed: list[str] = []
    for each, records in collector.sort(received, failed):
        try:
            collector.collect(each, records)
        except OffpeakError as error:
            logger.error("lane %s: %s", each.id, error)
            failed += [record.record_id for record, _ in records]
    return failed


_Sorted = list[tuple[Received, RequestRecord]]


class _Collector:
    def __init__(
        self, clock: Clock, catalogue: Catalogue, reader: Reader, writer: Writer, changes: Changes,
        requests: Requests, gatherings: Gatherings, runs: Runs, shards: Shards,
        workflows: Workflows, request_queue: RequestQueue, callbacks: Callbacks,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._catalogue = catalogue
        self._reader = reader
        self._writer = writer
        self._changes = changes
        self._requests = requests
        self._gatherings = gatherings
        self._runs = runs
        self._shards = shards
        self._workflows = workflows
        self._queue = request_queue
        self._callbacks = callbacks

    # ── what came ────────────────────────────────────────────────────────────────────────────────────────────────────

    def sort(
        self, received: Sequence[Received], failed: list[str]
    ) -> Iterator[tuple[Lane, _Sorted]]:
        """Records by lane; reminders are served at once. What can't be read goes to `failed`, and in the end to the
        dead letters."""
        lanes: dict[Lane, _Sorted] = defaultdict(list)
        for each in received:
            try:
                record = decode_record(each.text)
                if isinstance(record, Reminder):
                    self._remind(record)
                else:
                    lanes[self._lane(record)].append((each, record))
            except (ValueError, OffpeakError) as error:
                logger.error("record %s: %s", each.record_id, error)
                failed.append(each.record_id)
        yield from lanes.items()

    def _lane(self, record: RequestRecord) -> Lane:
        model = self._catalogue.known(record.model)
        if model is None:
            raise InvalidRequest(f"Request {record.id} is for {record.model}, which has left.")
        return Lane(
            model=model.id, pool=model.pool, endpoint=record.endpoint, window_seconds=record.window
        )

    def _remind(self, reminder: Reminder) -> None:
        try:
            gathering = self._gatherings.get(reminder.lane_id, reminder.gathering_id)
        except NotFound:
            return
        self._seal_or_wait(gathering, wait=True)

    # ── one lane ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def collect(self, lane: Lane, records: _Sorted) -> None:
        """Raises OffpeakError where something of it could not be collected."""
        model = self._catalogue.of_pool(lane.pool)
        fresh = self._in_time(self._unseen(lane, records))
        for segment_records in self._in_pieces(fresh):
            collected = self._write(lane, model, segment_records)
            gathering, was_due = self._append(lane, model, collected)
            self._seal_or_wait(gathering, wait=gathering.due_at < was_due)

    def _unseen(self, lane: Lane, records: _Sorted) -> list[RequestRecord]:
        """Each request once, without those that a gathering holds already."""
        by_id = {record.id: record for _, record in records}
        suspects = {r.id for each, r in records if each.receives > 1 or r.again}
        if suspects:
            for request_id in self._collected_before(lane, suspects):
                logger.info("request %s was collected before", request_id)
                by_id.pop(request_id, None)
        return list(by_id.values())

    def _collected_before(self, lane: Lane, suspects: set[str]) -> Iterator[str]:
        model = self._catalogue.of_pool(lane.pool)
        born = min(birth(request_id, REQUEST) or 0.0 for request_id in suspects)
        for gathering in self._gatherings.since(lane.id, earliest_gathering(model, born)):
            if not any(map(gathering.spans, suspects)):
                continue
            for segment in gathering.segments:
                key = segment_key(segment.name)
                for line in read_lines_of(self._reader, key, segment.start, segment.stop):
                    request_id = read_custom_id(line)
                    if request_id in suspects:
                        yield request_id

    def _in_time(self, records: Sequence[RequestRecord]) -> list[RequestRecord]:
        """Those whose window is open. The others have waited in the queue for all of it."""
        now = int(self._clock.now())
        late = [record for record in records if record.deadline <= now]
        if late:
            self._expire(late)
        return [record for record in records if record.deadline > now]

    def _expire(self, late: Sequence[RequestRecord]) -> None:
        """A collector that dies before all are told of gets their records again."""
        endings = [expired_ending_at(record.id, record.deadline) for record in late]
        for move in self._requests.end(endings):
            if move.request is not None:
                tell_request(
                    move.request, clock=self._clock, changes=self._changes,
                    callbacks=self._callbacks,
                )  # fmt: skip

    def _in_pieces(
        self, records: Sequence[RequestRecord]
    ) -> Iterator[list[tuple[RequestRecord, bytes]]]:
        """The records with their lines, as many at once as one object may hold."""
        piece: list[tuple[RequestRecord, bytes]] = []
        size = 0
        for record in records:
            line = self._line(record)
            if piece and size + len(line) > SEGMENT_BYTES_MAX:
                yield piece
                piece, size = [], 0
            piece.append((record, line))
            size += len(line)
        if piece:
            yield piece

    def _line(self, record: RequestRecord) -> bytes:
        if record.body_key is not None:
            body = self._reader.read(record.body_key)
        elif bytes(record.body):
            body = bytes(record.body)
        else:
            raise InvalidRequest(f"Request {record.id} came without its body.")
        return render_request_line(record.id, record.endpoint, body, record.account_id) + b"\n"

    def _write(
        self, lane: Lane, model: Model, records: Sequence[tuple[RequestRecord, bytes]]
    ) -> Collected:
        """One object, told in segments that cut well into shards."""
        name = f"{new_id('', self._clock.now())}{token_hex(4)}"
        self._writer.put(segment_key(name), b"".join(line for _, line in records), JSON_LINES)
        limits = span_limits(model)
        segments: list[GatheredSegment] = []
        start = stop = lines = 0
        for _, line in records:
            over = stop + len(line) - start > limits.bytes_max
            if lines and (lines >= limits.lines_max or over):
                segments.append(GatheredSegment(name=name, start=start, stop=stop, lines=lines))
                start, lines = stop, 0
            stop += len(line)
            lines += 1
        segments.append(GatheredSegment(name=name, start=start, stop=stop, lines=lines))
        ids = [record.id for record, _ in records]
        deadlines = [record.deadline for record, _ in records]
        logger.info("lane %s: %d requests in %s", lane.id, len(ids), name)
        return Collected(
            segments=tuple(segments), oldest=min(ids), newest=max(ids),
            first_deadline=min(deadlines), last_deadline=max(deadlines),
            completion_tokens=sum(record.tokens for record, _ in records),
        )  # fmt: skip

    # ── its gathering ────────────────────────────────────────────────────────────────────────────────────────────────

    def _append(self, lane: Lane, model: Model, collected: Collected) -> tuple[Gathering, float]:
        """The gathering with what was collected, as stored, and when it was due before: never, if it is new."""
        now = int(self._clock.now())
        due_at = now + self._patience(lane, model)
        for _ in range(CONFLICTS_MAX):
            found = self._gatherings.newest(lane.id)
            if found is not None and found.has_room(collected):
                changed: Add | Save = Save(appended := found.appended(collected, due_at))
                was_due: float = found.due_at
            else:
                opened = Gathering(
                    id=new_id(GATHERING, self._clock.now()), lane=lane, opened_at=now, due_at=due_at
                )
                changed, was_due = Add(appended := opened.appended(collected, due_at)), float("inf")
            try:
                self._changes.commit(changed)
            except StateConflict:
                continue
            return self._gatherings.get(lane.id, appended.id), was_due
        raise Unavailable(f"The gathering of lane {lane.id} changed {CONFLICTS_MAX} times.")

    def _patience(self, lane: Lane, model: Model) -> int:
        """How long what comes now may wait for company."""
        queued = (self._runs.queued(lane.pool, express=kind, each=1) for kind in (True, False))
        busy = bool(self._shards.open(lane.pool)) or any(queued)
        seconds = model.gather_seconds_busy if busy else model.gather_seconds_idle
        return min(seconds, lane.window_seconds // WINDOW_PARTS)

    def _seal_or_wait(self, gathering: Gathering, *, wait: bool) -> None:
        """Seals it when it is full or due; otherwise, with `wait`, has a reminder sent for when it is."""
        if not gathering.is_open:
            return
        seconds = gathering.due_at - self._clock.now()
        if seconds <= 0 or is_full(gathering, self._catalogue):
            seal_gathering(
                gathering.lane.id, gathering.id, clock=self._clock, catalogue=self._catalogue,
                writer=self._writer, changes=self._changes, gatherings=self._gatherings,
                workflows=self._workflows,
            )  # fmt: skip
        elif wait:
            reminder = Reminder(lane_id=gathering.lane.id, gathering_id=gathering.id)
            delay = min(int(seconds) + 1, QUEUE_DELAY_SECONDS_MAX)
            self._queue.send(encode_record(reminder), delay)
