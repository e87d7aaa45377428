"""`offpeak models list`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer

from offpeak.cli.client import Api
from offpeak.cli.settings import ApiKey, BaseUrl, read_settings
from offpeak.cli.show import AsJson, show_json, show_rows

app = typer.Typer(help="What can be asked for: models, their limits and prices.")
Every = Annotated[bool, typer.Option("--all", help="Those that aren't deployed here, too.")]


@app.callback(invoke_without_command=True)
def models(
    context: typer.Context,
    as_json: AsJson = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """`offpeak models` by itself lists them."""
    if context.invoked_subcommand is None:
        list_models(every=False, as_json=as_json, base_url=base_url, api_key=api_key)


@app.command("list")
def list_models(
    every: Every = False, as_json: AsJson = False, base_url: BaseUrl = None, api_key: ApiKey = None
) -> None:
    """List the models this deployment serves."""
    with Api(read_settings(base_url, api_key)) as api:
        found = api.get("/v1/models")["data"]
    shown = [model for model in found if every or model["availability"] == "deployed"]
    if as_json:
        show_json(shown)
        return
    show_rows(
        ("model", "modality", "context", "completion", "$ in", "$ out", "availability"),
        (_row(model) for model in shown),
    )


def _row(model: Mapping[str, Any]) -> tuple[str, ...]:
    """Prices are what a batch pays for a million tokens."""
    pricing = model["pricing"]["batch"]
    completion = model["max_completion_tokens"]
    return (
        model["id"],
        model["modality"],
        f"{model['context_length']:,}",
        f"{completion:,}" if completion else "",
        f"{pricing['input']:.2f}",
        f"{pricing['output']:.2f}",
        model["availability"].replace("_", " "),
    )
