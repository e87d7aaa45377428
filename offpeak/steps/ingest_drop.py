"""Makes a batch of an object in the drop folder: its bytes as they lie there, under the options that its producer gave.

Events come at least once, in any order, and late. They say where to look; what lies there now is what counts. A batch
is made once per account, key and ETag: its id is reserved before anything is made, and all else follows from the id.
"""

from __future__ import annotations

import hashlib
import logging
from enum import StrEnum

import msgspec

from offpeak.core.account import Account
from offpeak.core.batch import Batch
from offpeak.core.catalogue import Catalogue
from offpeak.core.drop import DropSource, account_of
from offpeak.core.errors import InvalidRequest, NotFound, OffpeakError, QuotaExceeded, TooLarge
from offpeak.core.file import File
from offpeak.core.ids import BATCH, FILE, new_id
from offpeak.core.layout import file_key
from offpeak.core.ports import (
    Accounts,
    Announcements,
    Batches,
    Changes,
    Claim,
    Clock,
    Drops,
    Files,
    Idempotency,
    Multipart,
    ObjectInfo,
    Reader,
    Workflows,
    Writer,
)
from offpeak.core.request_line import LineError
from offpeak.core.schedule import Schedule
from offpeak.core.window import parse_window
from offpeak.steps.choose_schedule import choose_schedule, choose_window
from offpeak.steps.create_batch import (
    NewBatch,
    add_batch,
    check_endpoint,
    check_quota,
    made_before,
    new_batch,
    set_going,
)
from offpeak.steps.create_file import INPUT_PURPOSE, add_file, check_new_file
from offpeak.steps.deliver_drop import deliver_drop
from offpeak.steps.unpack_drop import UnpackError, unpack, unpack_drop
from offpeak.steps.write_drop_status import read_drop_status, write_drop_status
from offpeak.wire.drop_options import SIDECAR_BYTES_MAX, parse_options
from offpeak.wire.drop_status import DropResults, State, StoredStatus, render_refusal, render_status
from offpeak.wire.jsonl import LINE_BYTES_MAX
from offpeak.wire.openai.bodies import DropOptionsBody

logger = logging.getLogger(__name__)
DEFAULT_ENDPOINT = "/v1/chat/completions"
CLAIM_SECONDS = 10 * 365 * 86_400
"""The same bytes under the same name start no second batch, practically for good."""


class Ingested(StrEnum):
    """What became of an event. `waiting`: its account has as many open batches as it may; it was put back."""

    STARTED = "started"
    KNOWN = "known"
    REFUSED = "refused"
    WAITING = "waiting"
    IGNORED = "ignored"


def ingest_drop(
    key: str, *, clock: Clock, catalogue: Catalogue, accounts: Accounts, reader: Reader,
    writer: Writer, multipart: Multipart, changes: Changes, files: Files, batches: Batches,
    idempotency: Idempotency, workflows: Workflows, announcements: Announcements, drops: Drops,
) -> Ingested:  # fmt: skip
    """Says beside the object what became of it, unless the key starts nothing or the object is gone.

    Raises StateConflict when the object was replaced meanwhile: the event may be taken in again.
    """
    account_id = account_of(key)
    if account_id is None:
        return Ingested.IGNORED
    try:
        dropped = reader.head(key)
    except NotFound:
        return Ingested.IGNORED
    ingestion = _Ingestion(
        dropped, clock, catalogue, reader, writer, multipart, changes, files, batches, idempotency,
        workflows, announcements,
    )  # fmt: skip
    try:
        return ingestion.start(_account(account_id, accounts))
    except QuotaExceeded as error:
        ingestion.refuse("waiting", error)
        drops.put_back(key)
        return Ingested.WAITING
    except InvalidRequest as error:
        ingestion.refuse("refused", error)
        return Ingested.REFUSED


def _account(account_id: str, accounts: Accounts) -> Account:
    try:
        return accounts.get(account_id)
    except NotFound:
        raise InvalidRequest(
            f"There is no account {account_id}. An object goes to drop/ and the account's id, "
            "which `offpeak keys create` prints.",
            code="unknown_account",
        ) from None


class _Ingestion:
    """Of one object, as it lies there now."""

    def __init__(
        self, dropped: ObjectInfo, clock: Clock, catalogue: Catalogue, reader: Reader,
        writer: Writer, multipart: Multipart, changes: Changes, files: Files, batches: Batches,
        idempotency: Idempotency, workflows: Workflows, announcements: Announcements,
    ) -> None:  # fmt: skip
        self._dropped = dropped
        self._source = DropSource(key=dropped.key, etag=dropped.etag)
        self._clock = clock
        self._catalogue = catalogue
        self._reader = reader
        self._writer = writer
        self._multipart = multipart
        self._changes = changes
        self._files = files
        self._batches = batches
        self._idempotency = idempotency
        self._workflows = workflows
        self._announcements = announcements

    def start(self, account: Account) -> Ingested:
        """Raises InvalidRequest for what can be no batch, QuotaExceeded when it has to wait."""
        check_new_file(account, INPUT_PURPOSE, self._dropped.bytes)
        options = self._options()
        window = choose_window(account, options.completion_window)
        window_seconds = parse_window(window)
        schedule = choose_schedule(
            account,
            None if options.schedule is None else Schedule(options.schedule),
            options.metadata,
        )
        endpoint = options.endpoint or self._endpoint_of_first_line()
        check_endpoint(endpoint, self._catalogue)
        batch_id = self._reserve(account)
        batch = made_before(account.id, batch_id, self._batches)
        is_new = batch is None
        if batch is None:
            check_quota(account, self._batches)
            file, error = self._file(account, batch_id)
            new = NewBatch(
                input_file_id=file.id, endpoint=endpoint, completion_window=window,
                on_invalid=options.on_invalid or "fail", metadata=options.metadata, accent="drop",
                schedule=schedule,
                output_expires_after=options.output_expires_after.seconds
                if options.output_expires_after else None,
            )  # fmt: skip
            made = new_batch(
                account, new, batch_id, file, int(self._clock.now()), window_seconds,
                drop=self._source,
            )  # fmt: skip
            batch = add_batch(
                made, error, writer=self._writer, changes=self._changes, batches=self._batches
            )
        set_going(batch, workflows=self._workflows, announcements=self._announcements)
        self._tell(batch)
        return Ingested.STARTED if is_new else Ingested.KNOWN

    def _options(self) -> DropOptionsBody:
        sidecar = None
        try:
            info = self._reader.head(self._source.sidecar_key)
            if info.bytes > SIDECAR_BYTES_MAX:
                raise TooLarge(f"The sidecar file has more than {SIDECAR_BYTES_MAX:,} bytes.")
            sidecar = self._reader.read(info.key, etag=info.etag)
        except NotFound:
            pass
        return parse_options(self._dropped.metadata, sidecar)

    def _endpoint_of_first_line(self) -> str:
        """The `url` of the first line, where it is one that is served. What is wrong with a line, validation says."""
        served = {name for model in self._catalogue.served for name in model.endpoints}
        default = DEFAULT_ENDPOINT if DEFAULT_ENDPOINT in served else min(served)
        try:
            url = msgspec.json.decode(self._first_line(), type=_Url).url
        except (UnpackError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return default
        return url if url in served else default

    def _first_line(self) -> bytes:
        stop = min(LINE_BYTES_MAX, self._dropped.bytes)
        head = self._reader.read(self._dropped.key, 0, stop, etag=self._dropped.etag)
        line = b""
        for piece in unpack([head]) if self._source.is_packed else [head]:
            line = (line + piece).removeprefix(b"\xef\xbb\xbf").lstrip()
            if b"\n" in line or len(line) > LINE_BYTES_MAX:
                break
        return line[:LINE_BYTES_MAX].partition(b"\n")[0]

    def _reserve(self, account: Account) -> str:
        """The id of the one batch that these bytes under this key make."""
        identity = f"{self._source.key}\n{self._source.etag}"
        now = self._clock.now()
        claim = Claim(
            resource_id=new_id(BATCH, now),
            fingerprint=hashlib.sha256(identity.encode()).hexdigest(),
        )
        held = self._idempotency.claim(
            f"{account.id} drop", identity, claim, int(now) + CLAIM_SECONDS
        )
        return held.resource_id

    def _file(self, account: Account, batch_id: str) -> tuple[File, LineError | None]:
        """The input file, which is the object itself unless it is packed; and why the batch fails, if it does."""
        file_id = FILE + batch_id.removeprefix(BATCH)
        stored, filename, error = self._dropped, self._dropped.key.rpartition("/")[2], None
        if self._source.is_packed:
            try:
                stored, filename = self._unpack(account, file_id), self._source.filename
            except UnpackError as refused:
                error = LineError(code=refused.code, message=refused.message)
        file = File(
            id=file_id, account_id=account.id, filename=filename, purpose=INPUT_PURPOSE,
            bytes=stored.bytes, key=stored.key, created_at=(now := int(self._clock.now())),
            expires_at=now + account.kept_seconds(), etag=stored.etag,
        )  # fmt: skip
        return add_file(file, changes=self._changes, files=self._files), error

    def _unpack(self, account: Account, file_id: str) -> ObjectInfo:
        return unpack_drop(
            self._dropped, file_key(account.id, file_id), account.limits.file_bytes_max,
            reader=self._reader, writer=self._writer, multipart=self._multipart,
        )  # fmt: skip

    def _tell(self, batch: Batch) -> None:
        """That it was taken in. Who comes later (the minute's status, the delivery) knows more, and is left alone."""
        if batch.is_terminal:
            found = read_drop_status(self._source, self._reader)
            if found is None or not (found.final and found.batch and found.batch.id == batch.id):
                self._deliver(batch)
            return

        def tell(stored: StoredStatus | None) -> bytes | None:
            if stored is not None and stored.batch is not None and stored.batch.id >= batch.id:
                return None
            return render_status(
                self._source, batch, DropResults(), counts=batch.counts, usage=None, errors=None,
                now=int(self._clock.now()),
            )  # fmt: skip

        write_drop_status(self._source, tell, reader=self._reader, writer=self._writer)

    def _deliver(self, batch: Batch) -> None:
        """One that failed at once; or one that ended long ago, and its bytes were put there again."""
        deliver_drop(
            batch.account_id, batch.id, clock=self._clock, reader=self._reader,
            writer=self._writer, multipart=self._multipart, batches=self._batches,
        )  # fmt: skip

    def refuse(self, state: State, error: OffpeakError) -> None:
        """Unless these very bytes have a batch: an event that comes again finds the options changed."""
        logger.info("%s is %s: %s", self._source.key, state, error.message)

        def tell(stored: StoredStatus | None) -> bytes | None:
            same = stored is not None and stored.input.etag == self._source.etag
            if stored is not None and same and stored.batch is not None:
                return None
            return render_refusal(self._source, state, error, now=int(self._clock.now()))

        write_drop_status(self._source, tell, reader=self._reader, writer=self._writer)


class _Url(msgspec.Struct):
    url: str
