"""Creates a batch and sets it going."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

from offpeak.core.account import Account
from offpeak.core.batch import Accent, Batch, BatchStatus, OnInvalid
from offpeak.core.catalogue import Catalogue
from offpeak.core.drop import DropSource
from offpeak.core.errors import (
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    StateConflict,
    Unavailable,
)
from offpeak.core.file import File, FileStatus
from offpeak.core.ids import BATCH
from offpeak.core.layout import batch_errors_key
from offpeak.core.ports import (
    Add,
    Announcements,
    Batches,
    Changes,
    Clock,
    Files,
    Idempotency,
    Ledger,
    Reader,
    Workflows,
    Writer,
)
from offpeak.core.request_line import LineError
from offpeak.core.schedule import Schedule
from offpeak.core.usage import Counts
from offpeak.core.window import parse_window
from offpeak.planner.byte_ranges import workflow_input
from offpeak.steps.check_enqueued import guess_enqueued
from offpeak.steps.choose_schedule import choose_schedule
from offpeak.steps.create_file import INPUT_PURPOSE
from offpeak.steps.find_file import find_file
from offpeak.steps.hold_credits import check_credits
from offpeak.steps.reserve_id import reserve_id
from offpeak.wire.batch_errors import encode_batch_errors


@dataclass(frozen=True, slots=True, kw_only=True)
class NewBatch:
    """What a caller asks for. `output_expires_after` in seconds."""

    input_file_id: str
    endpoint: str
    completion_window: str
    accent: Accent = "openai"
    on_invalid: OnInvalid = "fail"
    schedule: Schedule | None = None
    metadata: Mapping[str, str] | None = None
    output_expires_after: int | None = None


def create_batch(
    account: Account,
    new: NewBatch,
    *,
    idempotency_key: str | None,
    clock: Clock,
    reader: Reader,
    writer: Writer,
    changes: Changes,
    files: Files,
    batches: Batches,
    idempotency: Idempotency,
    workflows: Workflows,
    announcements: Announcements,
    catalogue: Catalogue,
    ledger: Ledger,
) -> Batch:
    """The batch: `validating`, or already `failed` when its input file isn't there or is too large.

    Raises InvalidRequest for a window, a schedule, an endpoint or a purpose that isn't served, QuotaExceeded when the
    account has as many open batches or enqueued tokens as it may, InsufficientCredits when its credits are used up,
    StateConflict for a reused Idempotency-Key.
    """
    window_seconds = parse_window(new.completion_window)
    check_endpoint(new.endpoint, catalogue)
    choose_schedule(account, new.schedule, new.metadata)
    batch_id = reserve_id(
        BATCH,
        account_id=account.id,
        route="POST /batches",
        key=idempotency_key,
        request=asdict(new),
        clock=clock,
        idempotency=idempotency,
    )
    made = made_before(account.id, batch_id, batches) if idempotency_key else None
    if made is None:
        file, error = _find_input(account, new.input_file_id, clock=clock, files=files)
        check_quota(account, batches)
        check_credits(account, ledger)
        batch = new_batch(account, new, batch_id, file, int(clock.now()), window_seconds)
        if file is not None and error is None:
            tokens = guess_enqueued(
                account, file, batches=batches, reader=reader, catalogue=catalogue
            )
            batch = replace(batch, enqueued_tokens=tokens)
        made = add_batch(batch, error, writer=writer, changes=changes, batches=batches)
    set_going(made, workflows=workflows, announcements=announcements)
    return made


def check_endpoint(endpoint: str, catalogue: Catalogue) -> None:
    served = sorted({name for model in catalogue.served for name in model.endpoints})
    if endpoint not in served:
        raise InvalidRequest(
            f"Invalid value for 'endpoint': {endpoint[:80]!r}. Served here: {', '.join(served)}.",
            param="endpoint",
            code="invalid_endpoint",
        )


def made_before(account_id: str, batch_id: str, batches: Batches) -> Batch | None:
    try:
        return batches.get(account_id, batch_id)
    except NotFound:
        return None


def _find_input(
    account: Account, file_id: str, *, clock: Clock, files: Files
) -> tuple[File | None, LineError | None]:
    """The input file, or why the batch fails without it. Raises InvalidRequest for one that can't be an input."""
    try:
        file = find_file(account.id, file_id, clock=clock, files=files)
    except NotFound:
        message = f"There is no file {file_id}. Upload the input again and create a new batch."
        return None, LineError(code="file_not_found", message=message, param="input_file_id")
    check_input(file)
    limit = account.limits.file_bytes_max
    if file.bytes > limit:
        message = (
            f"File {file.id} has {file.bytes:,} bytes; this account's limit is {limit:,} bytes a file. "
            "Split it, or ask the operators of this service to lift the limit."
        )
        return file, LineError(code="file_too_large", message=message, param="input_file_id")
    return file, None


def check_input(file: File) -> None:
    """Raises InvalidRequest for a file that can't be a batch's input."""
    if file.purpose != INPUT_PURPOSE:
        raise InvalidRequest(
            f"File {file.id} has the purpose {file.purpose!r}; a batch's input has {INPUT_PURPOSE!r}.",
            param="input_file_id",
            code="invalid_request",
        )
    if file.status is FileStatus.PENDING:
        raise InvalidRequest(
            f"File {file.id} is not complete yet: POST /v1/files/{file.id}/complete first.",
            param="input_file_id",
            code="file_not_complete",
        )


def check_quota(account: Account, batches: Batches) -> None:
    limit = account.limits.open_batches_max
    count = batches.open_count(account.id)
    if count >= limit:
        raise QuotaExceeded(
            f"This account has {count:,} batches that have not ended; its limit is {limit:,}. "
            "Wait for one to end, cancel one, or ask the operators of this service to lift the limit.",
            code="open_batches_limit",
        )


def new_batch(
    account: Account, new: NewBatch, batch_id: str, file: File | None, now: int,
    window_seconds: int, *, drop: DropSource | None = None,
) -> Batch:  # fmt: skip
    """The row of a batch to come. Its input is pinned: a producer may replace what lies in the drop folder, and whoever
    has the URL of an upload what was put there, for as long as the URL is good."""
    return Batch(
        id=batch_id,
        account_id=account.id,
        input_file_id=new.input_file_id,
        input_key=file.key if file else "",
        input_bytes=file.bytes if file else 0,
        endpoint=new.endpoint,
        completion_window=new.completion_window,
        created_at=now,
        expires_at=now + window_seconds,
        accent=new.accent,
        on_invalid=new.on_invalid,
        schedule=choose_schedule(account, new.schedule, new.metadata),
        metadata=new.metadata,
        output_expires_after=account.kept_seconds(new.output_expires_after),
        input_etag=file.etag if file else None,
        drop=drop,
    )


def _fail(batch: Batch, error: LineError, *, writer: Writer) -> Batch:
    """The reason first, so that whoever sees the failure finds it."""
    key = batch_errors_key(batch.id)
    writer.put(key, encode_batch_errors([error], 1), "application/json")
    return batch.failed(errors_key=key, counts=Counts(), now=batch.created_at)


def add_batch(
    batch: Batch, error: LineError | None, *, writer: Writer, changes: Changes, batches: Batches
) -> Batch:
    """Adds the row, `failed` when there is an error; when the same request is a step ahead, its row is the answer."""
    if error is not None:
        batch = _fail(batch, error, writer=writer)
    try:
        changes.commit(Add(batch))
    except StateConflict:
        return batches.get(batch.account_id, batch.id)
    return batch


def set_going(batch: Batch, *, workflows: Workflows, announcements: Announcements) -> None:
    """Starts its execution; may be called again. One that failed at once has none, and is announced here."""
    if batch.status is BatchStatus.VALIDATING:
        # The row stands, so the caller's answer must not be an error: it would create a second batch. The sweep
        # starts what this doesn't.
        with suppress(Unavailable):
            workflows.start(batch.id, workflow_input(batch))
    elif batch.status is BatchStatus.FAILED:
        announcements.announce("batch.failed", batch)
