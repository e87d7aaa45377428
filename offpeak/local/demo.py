"""`make demo`: a batch file through the local cloud with the OpenAI SDK, from upload to results; then through its drop
folder."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import OpenAI, OpenAIError
from openai.types import Batch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from offpeak.local.cloud import ROOT, LocalCloud
from offpeak.local.deploy import DeployFailed
from offpeak.local.drop_demo import drop_lines, dropped_results
from offpeak.local.models import EngineError
from offpeak.local.processes import ProcessFailed, leave_on_signals
from offpeak.local.synthesis import SynthesisFailed
from offpeak.local.up import default_folder

EXAMPLE = ROOT / "examples/demo.jsonl"
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
PART_BYTES = 4 * 1024 * 1024
POLL_SECONDS = 0.25
ROWS_SHOWN_MAX = 12
ANSWER_COLUMNS_MIN, OTHER_COLUMNS = 20, 58  # of a terminal, in characters
ANSWER_CHARACTERS_MAX = 60
MODELS_READ_MAX = 100_000
console = Console()


class DemoError(ValueError):
    """The demo can't be run as asked; the message says why."""


@dataclass(frozen=True, slots=True)
class Input:
    """A batch file as the demo has to know it: the endpoint of its first line, and the models that its lines name."""

    path: Path
    endpoint: str
    models: tuple[str, ...]


def main() -> int:
    options = _options()
    try:
        with leave_on_signals():
            return _run(options)
    except KeyboardInterrupt:
        return 130
    except (
        DemoError, DeployFailed, EngineError, OpenAIError, ProcessFailed, SynthesisFailed,
    ) as error:  # fmt: skip
        print(f"error: {error}", file=sys.stderr)
        return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo")
    parser.add_argument("--file", type=Path, default=EXAMPLE, help="a batch input file")
    parser.add_argument("--engine", default="vllm", help="vllm, echo, or a server's URL")
    parser.add_argument("--model", help="a model directory, a hub name, or the server's name of it")
    parser.add_argument("--port", type=int, default=8080)
    return parser.parse_args()


def read_input(path: Path) -> Input:
    """What the file asks for, as far as it can be read: the API says what is wrong with the rest. Raises DemoError."""
    if not path.is_file():
        raise DemoError(f"FILE={path}: there is no such file.")
    endpoint, models = None, []
    with path.open("rb") as file:
        for _, line in zip(range(MODELS_READ_MAX), file, strict=False):
            try:
                request = json.loads(line)
                endpoint = endpoint or str(request["url"])
                model = request["body"]["model"]
            except (ValueError, LookupError, TypeError):
                continue
            if isinstance(model, str) and model not in models:
                models.append(model)
    return Input(path, endpoint or "/v1/chat/completions", tuple(models))


def _run(options: argparse.Namespace) -> int:
    asked = read_input(options.file)
    started = time.monotonic()
    with LocalCloud(
        engine=options.engine,
        model=options.model,
        aliases=asked.models,
        folder=default_folder(options.port),
        port=options.port,
        tell=lambda step: console.print(f"  [dim]{escape(step)} …"),
    ) as cloud:
        for name in asked.models:
            if name != cloud.model:
                console.print(f"  {escape(name)} is served by {escape(cloud.model)}.")
        console.print(
            f"  The API is at {cloud.base_url}/v1 after {time.monotonic() - started:.0f} s."
        )
        client = OpenAI(base_url=f"{cloud.base_url}/v1", api_key=cloud.api_key)
        batch = _submit(client, asked)
        batch = _watch(client, cloud, batch)
        _show(client, batch)
        worked = batch.status == "completed" and _drop(cloud, asked)
    console.print(f"Done after {time.monotonic() - started:.0f} s. Nothing is left running.")
    return 0 if worked else 1


def _submit(client: OpenAI, asked: Input) -> Batch:
    if asked.path.stat().st_size > PART_BYTES:
        upload = client.uploads.upload_file_chunked(
            file=asked.path, mime_type="application/jsonl", purpose="batch", part_size=PART_BYTES
        )
        file_id = upload.file.id if upload.file else ""
    else:
        file_id = client.files.create(file=asked.path, purpose="batch").id
    console.print(f"  Uploaded {escape(asked.path.name)} as {file_id}.")
    batch = client.batches.create(
        input_file_id=file_id,
        endpoint=asked.endpoint,  # type: ignore[arg-type]  # the API says which it takes
        completion_window="24h",
        metadata={"from": "make demo"},
    )
    console.print(f"  Created {batch.id}.")
    return batch


def _watch(client: OpenAI, cloud: LocalCloud, batch: Batch) -> Batch:
    """Shows the batch's progress until it ends."""
    with _bar() as show:
        while batch.status not in ENDED:
            cloud.check()
            waiting = batch.status == "in_progress" and not any(w["ready"] for w in cloud.workers())
            show(batch, "the worker is loading its model" if waiting else batch.status)
            time.sleep(POLL_SECONDS)
            batch = client.batches.retrieve(batch.id)
        show(batch, batch.status)
    return batch


@contextmanager
def _bar() -> Iterator[Any]:
    columns = (
        TextColumn("  {task.description:<32}"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} lines"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=0)

        def show(batch: Batch, description: str) -> None:
            counts = batch.request_counts
            total, done = (counts.total, counts.completed + counts.failed) if counts else (0, 0)
            progress.update(bar, total=total, completed=done, description=description)

        yield show


def _show(client: OpenAI, batch: Batch) -> None:
    for error in (batch.errors.data or []) if batch.errors else []:
        where = f"line {error.line}: " if error.line is not None else ""
        console.print(f"[red]{where}{escape(error.message or '')}[/] ({error.code})")
    lines = [*_results(client, batch.output_file_id), *_results(client, batch.error_file_id)]
    if lines:
        console.print(_table(lines))
    if len(lines) > ROWS_SHOWN_MAX:
        console.print(f"… and {len(lines) - ROWS_SHOWN_MAX} more results.")
    if batch.usage:
        usage = batch.usage
        cached = usage.input_tokens_details.cached_tokens
        console.print(
            f"Usage: {usage.input_tokens:,} input tokens ({cached:,} of them cached), "
            f"{usage.output_tokens:,} output tokens."
        )


def _drop(cloud: LocalCloud, asked: Input) -> bool:
    """The same without the API: the file's first lines through the S3 drop folder. Whether that worked."""
    status = drop_lines(cloud, asked.path, lambda line: console.print(f"  {escape(line)}"))
    lines = dropped_results(cloud, status)
    if lines:
        console.print(_table(list(lines)))
    return bool(status["status"] == "completed")


def _results(client: OpenAI, file_id: str | None) -> list[Mapping[str, Any]]:
    if file_id is None:
        return []
    return [json.loads(line) for line in client.files.content(file_id).iter_lines() if line]


def _table(lines: list[Mapping[str, Any]]) -> Table:
    table = Table("custom_id", "status", header_style="bold")
    # A width of its own: as the widest column it would squeeze the others out of a narrow terminal.
    width = max(ANSWER_COLUMNS_MIN, console.width - OTHER_COLUMNS)
    table.add_column("answer", no_wrap=True, overflow="ellipsis", width=width)
    for name in ("tokens in", "tokens out"):
        table.add_column(name, justify="right")
    for line in lines[:ROWS_SHOWN_MAX]:
        response = line.get("response") or {}
        body = response.get("body") or {}
        usage = body.get("usage") or {}
        table.add_row(
            escape(str(line["custom_id"])),
            str(response.get("status_code", "–")),
            escape(_answer(line, body)),
            str(usage.get("prompt_tokens", usage.get("input_tokens", "–"))),
            str(usage.get("completion_tokens", usage.get("output_tokens", "–"))),
        )
    return table


def _answer(line: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    """The beginning of what was answered, or of what went wrong."""
    error = line.get("error") or body.get("error")
    if error:
        text = str(error.get("message", error))
    elif body.get("choices"):
        choice = body["choices"][0]
        text = str((choice.get("message") or {}).get("content") or choice.get("text") or "")
    elif body.get("data"):
        text = f"{len(body['data'][0].get('embedding', []))} dimensions"
    else:
        text = json.dumps(body.get("output", body))
    text = " ".join(text.split())
    return text if len(text) <= ANSWER_CHARACTERS_MAX else text[: ANSWER_CHARACTERS_MAX - 1] + "…"


if __name__ == "__main__":
    sys.exit(main())
