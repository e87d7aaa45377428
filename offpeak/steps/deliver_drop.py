"""Puts the results of an ended batch beside the object it came from, and then the final status.

Results lie beside the bytes they are of. If these were replaced, the newer bytes' batch delivers, and the results of
this one are had through the API alone. Should two deliveries overlap, each looks at the other's doing after its own, so
one of them notices, and the results of the bytes that lie there now are put there again.
"""

from __future__ import annotations

from collections.abc import Iterable

from offpeak.core.batch import Batch
from offpeak.core.drop import DropSource
from offpeak.core.errors import NotFound, StateConflict, Unavailable
from offpeak.core.layout import JSON_LINES, error_key, output_key
from offpeak.core.ports import Batches, Clock, Multipart, ObjectInfo, Reader, Writer
from offpeak.steps.join_objects import join_objects
from offpeak.steps.show_batch import read_errors
from offpeak.steps.show_drop import belongs_to_newer
from offpeak.steps.write_drop_status import is_current, read_drop_status, write_drop_status
from offpeak.wire.drop_status import DropResults, StoredStatus, render_status

TRIES_MAX = 6


def deliver_drop(
    account_id: str, batch_id: str, *, clock: Clock, reader: Reader, writer: Writer,
    multipart: Multipart, batches: Batches,
) -> bool:  # fmt: skip
    """Whether this batch's results lie beside its object now. May be called again.

    Raises StateConflict for a batch that goes on, Unavailable when others keep writing.
    """
    batch = batches.get(account_id, batch_id)
    if not batch.is_terminal:
        raise StateConflict(f"Batch {batch_id} has not ended: it is {batch.status}.")
    if batch.drop is None or not is_current(batch.drop, reader):
        return False
    for _ in range(TRIES_MAX):
        source = batch.drop
        copies = _copy(batch, source, reader=reader, writer=writer, multipart=multipart)
        told = _tell(batch, source, copies, int(clock.now()), reader=reader, writer=writer)
        if told and _stand(copies.values(), reader):
            return batch.id == batch_id
        if not told:
            other = _delivered(account_id, source, reader, batches)
            if other is None or other.drop is None or other.id == batch.id:
                return False
            batch = other
    raise Unavailable(f"The results of batch {batch_id} were overwritten {TRIES_MAX} times.")


def _copy(
    batch: Batch, source: DropSource, *, reader: Reader, writer: Writer, multipart: Multipart
) -> dict[str, ObjectInfo]:
    """What lies beside the object now, by key. Results of an earlier batch go where this one has none of the kind."""
    copies: dict[str, ObjectInfo] = {}
    for file_id, result, target in (
        (batch.output_file_id, output_key(batch.id), source.output_key),
        (batch.error_file_id, error_key(batch.id), source.errors_key),
    ):
        try:
            if file_id is None:
                raise NotFound(f"Batch {batch.id} has no such results.")
            copies[target] = join_objects(
                [reader.head(result)], target, JSON_LINES,
                reader=reader, writer=writer, multipart=multipart,
            )  # fmt: skip
        except NotFound:  # … or its account has deleted them already
            writer.delete(target)
    return copies


def _tell(
    batch: Batch, source: DropSource, copies: dict[str, ObjectInfo], now: int, *, reader: Reader,
    writer: Writer,
) -> bool:  # fmt: skip
    """Whether the final status was written: not where newer bytes have the word."""
    body = render_status(
        source, batch,
        DropResults(
            output=source.output_key if source.output_key in copies else None,
            errors=source.errors_key if source.errors_key in copies else None,
        ),
        counts=batch.counts, usage=batch.usage, errors=read_errors(batch, reader), now=now,
    )  # fmt: skip

    def tell(stored: StoredStatus | None) -> bytes | None:
        return None if stored is not None and belongs_to_newer(stored, batch) else body

    return write_drop_status(source, tell, reader=reader, writer=writer)


def _stand(copies: Iterable[ObjectInfo], reader: Reader) -> bool:
    """Whether nobody copied over them before the status was final. Its owner may have taken them away already."""
    for copied in copies:
        try:
            if reader.head(copied.key).etag != copied.etag:
                return False
        except NotFound:
            continue
    return True


def _delivered(
    account_id: str, source: DropSource, reader: Reader, batches: Batches
) -> Batch | None:
    """The batch whose delivery ours may have copied over. One that has not delivered yet copies over ours."""
    seen = read_drop_status(source, reader)
    if seen is None or seen.batch is None or not seen.final:
        return None
    try:
        found = batches.get(account_id, seen.batch.id)
    except NotFound:  # the file is not of our making
        return None
    of_this_name = found.drop is not None and found.drop.stem == source.stem
    return found if found.is_terminal and of_this_name else None
