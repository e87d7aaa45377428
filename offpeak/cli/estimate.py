"""`offpeak estimate FILE`: what a file would cost and when it would be done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from offpeak.cli.batches import check_batch_body
from offpeak.cli.client import Api
from offpeak.cli.ids import path_segment
from offpeak.cli.settings import ApiKey, BaseUrl, read_settings
from offpeak.cli.show import AsJson, say, show_field, show_json, time_text
from offpeak.cli.upload import check_input, upload_file
from offpeak.cli.watch import upload_view
from offpeak.core.ledger import dollars


def estimate(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Request lines, JSONL. It is uploaded.")
    ],
    endpoint: Annotated[
        str, typer.Option(help="What every line's url names.")
    ] = "/v1/chat/completions",
    window: Annotated[str, typer.Option(help="1h … 7d: how long it may take.")] = "24h",
    keep: Annotated[
        bool, typer.Option("--keep", help="Don't delete the upload; a batch may use it.")
    ] = False,
    as_json: AsJson = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Price a file before it runs: requests, tokens, cost, and when it would be done."""
    check_batch_body(endpoint, window)
    size = check_input(file)
    with Api(read_settings(base_url, api_key)) as api:
        with upload_view(file.name, size) as progress:
            uploaded = upload_file(api, file, progress)
        body = {
            "input_file_id": uploaded["id"], "endpoint": endpoint, "completion_window": window,
        }  # fmt: skip
        try:
            found = api.post("/v1/batches/estimate", body)
        finally:
            if not keep:
                api.delete(f"/v1/files/{path_segment(uploaded['id'])}")
    if as_json:
        show_json(found)
    else:
        for name, value in _fields(found):
            show_field(name, value)
        for note in found["notes"]:
            say(note)
    if keep:
        say(f"The upload is {uploaded['id']}.")


def _fields(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    about = "" if found["is_exact"] else "about "
    yield "requests", f"{about}{found['requests']:,}"
    for model in found["models"]:
        yield "model", f"{model['model']}: {about}{model['requests']:,} requests"
        basis = model["tokens_basis"]
        if basis == "tokenised":
            basis = f"tokenised: {model['tokenised_requests']:,} requests"
        yield "input", f"{_range(model['input_tokens'])} tokens ({basis})"
        yield "output", f"{_range(model['output_tokens'])} tokens ({model['output_tokens_basis']})"
    cost = {which: amount["microdollars"] for which, amount in found["cost"].items()}
    yield (
        "cost",
        f"{dollars(cost['expected'])} ({dollars(cost['low'])} to {dollars(cost['high'])})",
    )
    done = found["finishes_at"]
    if done:
        early, late = time_text(done["low"]), time_text(done["high"])
        yield "done", f"{time_text(done['expected'])} ({early} to {late})"


def _range(tokens: Mapping[str, int]) -> str:
    return f"{tokens['expected']:,} ({tokens['low']:,} to {tokens['high']:,})"
