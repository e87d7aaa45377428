"""`offpeak submit|status|results|cancel|list|models`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, get_args

import typer

from offpeak.cli.client import Api
from offpeak.cli.errors import CliError, UsageError
from offpeak.cli.finished import FinishedPage, finished_pages
from offpeak.cli.ids import path_segment
from offpeak.cli.settings import ApiKey, BaseUrl, read_settings
from offpeak.cli.show import (
    AsJson,
    counts_text,
    say,
    show_batch,
    show_json,
    show_rows,
    size_text,
    time_text,
)
from offpeak.cli.upload import check_input, upload_file
from offpeak.cli.watch import TERMINAL, upload_view, watch_batch
from offpeak.cli.words import checked
from offpeak.core.batch import OnInvalid
from offpeak.core.catalogue import ENDPOINTS
from offpeak.core.schedule import Schedule
from offpeak.core.window import parse_window

BatchId = Annotated[str, typer.Argument(metavar="BATCH", help="The batch's id.")]


def submit(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Request lines, JSONL.")],
    endpoint: Annotated[
        str, typer.Option(help="What every line's url names.")
    ] = "/v1/chat/completions",
    window: Annotated[str, typer.Option(help="1h … 7d: how long it may take.")] = "24h",
    schedule: Annotated[
        str | None,
        typer.Option(
            metavar="now|offpeak",
            help="offpeak: in the cheapest and cleanest hours of the window. Else the account's default.",
        ),
    ] = None,
    metadata: Annotated[
        list[str] | None, typer.Option(metavar="KEY=VALUE", help="May be given up to 16 times.")
    ] = None,
    on_invalid: Annotated[
        str,
        typer.Option(metavar="fail|skip", help="skip: run the good lines of a file with bad ones."),
    ] = "fail",
    watch: Annotated[bool, typer.Option("--watch", help="Wait for the end.")] = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Upload a file and start a batch. Prints the batch's id."""
    body = _batch_body(endpoint, window, schedule, metadata, on_invalid)
    size = check_input(file)
    with Api(read_settings(base_url, api_key)) as api:
        with upload_view(file.name, size) as progress:
            uploaded = upload_file(api, file, progress)
        say(f"Uploaded {file.name} ({size_text(size)}) as {uploaded['id']}.")
        batch = api.post("/v1/batches", {"input_file_id": uploaded["id"], **body})
        print(batch["id"], flush=True)
        if watch:
            _follow(api, batch)
        else:
            say(f"Follow it with: offpeak status {batch['id']} --watch")


def status(
    batch_id: BatchId,
    watch: Annotated[bool, typer.Option("--watch", help="Wait for the end.")] = False,
    as_json: AsJson = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Show one batch."""
    with Api(read_settings(base_url, api_key)) as api:
        batch: Mapping[str, Any] = api.get(f"/v1/batches/{path_segment(batch_id)}")
        if watch:
            batch = watch_batch(api, batch)
    show_json(batch) if as_json else show_batch(batch)
    if watch:
        _exit_as(batch)


def results(
    batch_id: BatchId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Instead of stdout.")
    ] = None,
    errors: Annotated[bool, typer.Option("--errors", help="The lines that failed.")] = False,
    follow: Annotated[
        bool, typer.Option("--follow", help="Lines as they are finished, until the batch ends.")
    ] = False,
    after: Annotated[
        str | None, typer.Option(metavar="PLACE", help="Go on where an earlier call stopped.")
    ] = None,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Download what a batch produced; of one that runs, what is finished so far."""
    with Api(read_settings(base_url, api_key)) as api:
        batch = api.get(f"/v1/batches/{path_segment(batch_id)}")
        if follow or after is not None or _goes_on(batch):
            pages = finished_pages(
                api, path_segment(batch_id), "error" if errors else "output", after, follow=follow
            )
            _write_pages(batch_id, pages, output, has_earlier=after is not None)
            return
        file_id = _result_file(batch, errors)
        if file_id is None:
            say(f"No line of {batch_id} {'failed' if errors else 'succeeded; see --errors'}.")
            return
        with _destination(output) as file:
            size = sum(file.write(chunk) for chunk in api.download(f"/v1/files/{file_id}/content"))
    if output is not None:
        say(f"Wrote {size_text(size)} to {output}.")


def cancel(batch_id: BatchId, base_url: BaseUrl = None, api_key: ApiKey = None) -> None:
    """Stop a batch; finished lines are kept."""
    with Api(read_settings(base_url, api_key)) as api:
        batch = api.post(f"/v1/batches/{path_segment(batch_id)}/cancel")
    say(f"{batch_id} is {batch['status']}.")


def list_batches(
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 20,
    as_json: AsJson = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List batches, newest first."""
    with Api(read_settings(base_url, api_key)) as api:
        batches = list(api.pages("/v1/batches", limit))
    if as_json:
        show_json(batches)
        return
    show_rows(
        ("batch", "status", "lines", "model", "created"),
        ((b["id"], _status_text(b), counts_text(b), b.get("model") or "", time_text(b["created_at"]))
         for b in batches),
    )  # fmt: skip


def _status_text(batch: Mapping[str, Any]) -> str:
    status: str = batch["status"]
    return f"{status}, at risk" if batch.get("at_risk_at") else status


def _batch_body(
    endpoint: str, window: str, schedule: str | None, metadata: list[str] | None, on_invalid: str
) -> dict[str, Any]:
    """What the batch shall be, beside its input. A slip is found here, not after the upload of a large file."""
    check_batch_body(endpoint, window)
    if on_invalid not in get_args(OnInvalid):
        raise UsageError(
            f"--on-invalid {on_invalid!r} is none of {', '.join(get_args(OnInvalid))}."
        )
    if schedule is not None and schedule not in list(Schedule):
        raise UsageError(f"--schedule {schedule!r} is none of {', '.join(Schedule)}.")
    return {
        "endpoint": endpoint,
        "completion_window": window,
        "schedule": schedule,
        "metadata": _pairs(metadata),
        "on_invalid": on_invalid,
    }


def check_batch_body(endpoint: str, window: str) -> None:
    """Raises UsageError."""
    if endpoint not in ENDPOINTS:
        raise UsageError(f"--endpoint {endpoint!r} is none of {', '.join(ENDPOINTS)}.")
    with checked():
        parse_window(window)


def _pairs(metadata: list[str] | None) -> dict[str, str] | None:
    pairs = [text.partition("=") for text in metadata or ()]
    wrong = next((key for key, equals, _ in pairs if not equals or not key), None)
    if wrong is not None:
        raise UsageError(f"--metadata {wrong!r} is no KEY=VALUE pair.")
    return {key: value for key, _, value in pairs} or None


def _follow(api: Api, batch: Mapping[str, Any]) -> None:
    try:
        ended = watch_batch(api, batch)
    except KeyboardInterrupt:
        say(f"\nThe batch goes on. Follow it with: offpeak status {batch['id']} --watch")
        raise
    say(f"{batch['id']} is {ended['status']}: {counts_text(ended) or 'no line ran'}.")
    for error in ((ended.get("errors") or {}).get("data") or [])[:3]:
        where = f"Line {error['line']}: " if error.get("line") is not None else ""
        say(f"{where}{error['message']} ({error['code']})")
    if ended.get("output_file_id"):
        say(f"Download it with: offpeak results {batch['id']} -o results.jsonl")
    _exit_as(ended)


def _exit_as(batch: Mapping[str, Any]) -> None:
    """A batch that was followed to an end other than `completed` is no success."""
    if batch["status"] != "completed":
        raise typer.Exit(1)


def _goes_on(batch: Mapping[str, Any]) -> bool:
    return batch["status"] not in TERMINAL


def _write_pages(
    batch_id: str, pages: Iterator[FinishedPage], output: Path | None, *, has_earlier: bool
) -> None:
    """Each page as it comes. Whoever stops, or is stopped, is told how to go on."""
    written = lines = 0
    page: FinishedPage | None = None
    try:
        with _appended(output, has_earlier=has_earlier) as file:
            for page in pages:
                file.write(page.lines)
                file.flush()
                written += len(page.lines)
                lines += page.lines.count(b"\n")
    finally:
        if page is not None and page.incomplete:
            say(f"{batch_id} goes on: these are not all lines.")
            say(f"The next ones: offpeak results {batch_id} --follow --after {page.after}")
    if output is not None:
        say(f"Wrote {lines:,} lines ({size_text(written)}) to {output}.")


@contextmanager
def _appended(output: Path | None, *, has_earlier: bool) -> Iterator[BinaryIO]:
    """stdout, or a file that grows: anew, or after what an earlier call has written."""
    if output is None:
        yield sys.stdout.buffer
        return
    try:
        with output.open("ab" if has_earlier else "wb") as file:
            yield file
    except OSError as error:
        raise UsageError(f"{output} can't be written: {error.strerror}.") from None


def _result_file(batch: Mapping[str, Any], errors: bool) -> str | None:
    """The file's id; None when no line belongs in it. Raises CliError when there is nothing to download."""
    if batch["status"] == "failed":
        raise CliError(
            f"{batch['id']} failed before any line ran; `offpeak status {batch['id']}` says why."
        )
    found: str | None = batch["error_file_id" if errors else "output_file_id"]
    return found


@contextmanager
def _destination(output: Path | None) -> Iterator[BinaryIO]:
    """stdout, or a file that appears under its name only when it is whole."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    part = output.with_name(output.name + ".part")
    try:
        with part.open("wb") as file:
            yield file
        part.replace(output)
    except OSError as error:
        raise UsageError(f"{output} can't be written: {error.strerror}.") from None
    finally:
        part.unlink(missing_ok=True)
