"""`offpeak files list|delete`."""

from __future__ import annotations

from typing import Annotated

import typer

from offpeak.cli.client import Api
from offpeak.cli.ids import path_segment
from offpeak.cli.settings import ApiKey, BaseUrl, read_settings
from offpeak.cli.show import AsJson, say, show_json, show_rows, size_text, time_text

app = typer.Typer(no_args_is_help=True, help="Uploaded and produced files.")


@app.command("list")
def list_files(
    purpose: Annotated[str | None, typer.Option(help="batch or batch_output.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many, newest first.")] = 20,
    as_json: AsJson = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """List files, newest first."""
    filters = {"purpose": purpose} if purpose else {}
    with Api(read_settings(base_url, api_key)) as api:
        files = list(api.pages("/v1/files", limit, **filters))
    if as_json:
        show_json(files)
        return
    show_rows(
        ("file", "name", "size", "purpose", "created"),
        ((f["id"], f["filename"], size_text(f["bytes"]), f["purpose"], time_text(f["created_at"]))
         for f in files),
    )  # fmt: skip


@app.command()
def delete(
    file_ids: Annotated[list[str], typer.Argument(metavar="FILE…", help="Ids of files.")],
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Delete files. There is no way back."""
    segments = [path_segment(file_id) for file_id in file_ids]
    with Api(read_settings(base_url, api_key)) as api:
        for segment in segments:
            api.delete(f"/v1/files/{segment}")
            say(f"Deleted {segment}.")
