"""`offpeak pools pin|smoke`: an operator's commands around the pools of GPU instances."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from offpeak.cli.base_images import registry_region, resolve_image
from offpeak.cli.client import Api
from offpeak.cli.errors import CliError, UsageError
from offpeak.cli.images import digest_of
from offpeak.cli.settings import ApiKey, BaseUrl, read_settings
from offpeak.cli.show import AsJson, plain, say, show_json
from offpeak.cli.smoke import Smoke, SmokeFailed, run_smoke
from offpeak.cli.words import check_region, read_models
from offpeak.core.base_image import WORKER_PIN, format_base_image
from offpeak.core.catalogue import Model
from offpeak.core.ports.metrics import NAMESPACE

MODELS_FILE = Path("models.toml")
REGION = "us-east-1"
app = typer.Typer(no_args_is_help=True, help="The GPU pools, for operators.")


@app.command()
def pin(
    version: Annotated[
        str | None, typer.Option(help="vLLM's, as 0.30.0; by default the SDK's newest.")
    ] = None,
    region: Annotated[str, typer.Option(envvar="AWS_REGION", help="Whose registry.")] = REGION,
    digest: Annotated[
        bool,
        typer.Option(help="Ask the registry for the digest, without which nothing is deployed."),
    ] = True,
    file: Annotated[Path, typer.Option(help="Where synthesis reads it.")] = Path(WORKER_PIN),
) -> None:
    """Choose the image that the worker is built on, and write its tag and digest."""
    check_region(region)
    if not file.parent.is_dir():
        raise UsageError(f"{file.parent} is not here: run this in Offpeak's checkout.")
    image = resolve_image(version, region)
    if digest:
        image = replace(image, digest=digest_of(image))
    try:
        file.write_text(format_base_image(image))
    except OSError as error:
        raise UsageError(f"{file} can't be written: {error.strerror}.") from None
    say(f"Wrote {file}. The next `cdk deploy` builds on it, and needs a login at its registry:")
    registry, where = image.repository.partition("/")[0], registry_region(image)
    say(
        f"  aws ecr get-login-password --region {where} | docker login --username AWS --password-stdin {registry}"
    )
    print(image.reference)


@app.command()
def smoke(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Its id, as `offpeak models` lists.")
    ],
    lines: Annotated[int, typer.Option(min=1, max=100, help="How many request lines.")] = 8,
    endpoint: Annotated[
        str | None, typer.Option(help="By default the first that models.toml gives the model.")
    ] = None,
    minutes: Annotated[
        int,
        typer.Option(min=1, max=180, help="Patience; a cold start of a large model takes an hour."),
    ] = 75,
    as_json: AsJson = False,
    base_url: BaseUrl = None,
    api_key: ApiKey = None,
) -> None:
    """Send one small shard through a live pool and report: cold start, tokens a second, errors."""
    settings = read_settings(base_url, api_key)
    known = _known(model)
    path = endpoint or (known.endpoints[0] if known else "/v1/chat/completions")
    try:
        with Api(settings) as api:
            report = run_smoke(api, model, path, count=lines, seconds_max=60 * minutes, tell=say)
    except SmokeFailed as failed:
        _show(failed.report, as_json=as_json)
        pool = known.pool if known else "POOL"
        raise CliError(f"{failed.message}\n{_where_to_look(pool)}") from None
    _show(report, as_json=as_json)


def _known(name: str) -> Model | None:
    """The model in this checkout's models.toml; None outside one, or where it isn't listed."""
    if not MODELS_FILE.is_file():
        return None
    models = read_models(MODELS_FILE).models
    return next((model for model in models if name in (model.id, *model.aliases)), None)


def _show(report: Smoke, *, as_json: bool) -> None:
    rate = report.tokens_per_second
    facts: Mapping[str, Any] = {
        **asdict(report), "tokens_per_second": None if rate is None else round(rate, 1),
    }  # fmt: skip
    if as_json:
        show_json(facts)
        return
    for name, value in facts.items():
        if value not in (None, ()):
            text = "; ".join(value) if isinstance(value, tuple) else value
            print(f"{name.replace('_', ' '):<18} {plain(str(text))}")


def _where_to_look(pool: str) -> str:
    """In the order in which things go wrong."""
    name = f"offpeak-STAGE-{pool}"
    dimensions = json.dumps([{"Name": "Pool", "Value": pool}])
    variant = f"endpoint/{name}/variant/AllTraffic"
    asked = "aws application-autoscaling describe-scaling-activities --service-namespace sagemaker"
    steps = {
        "is the work counted?": f"aws cloudwatch list-metrics --namespace {NAMESPACE} --dimensions '{dimensions}'",
        "was an instance asked for?": f"{asked} --resource-id {variant}",
        "is there one?": f"aws sagemaker describe-endpoint --endpoint-name {name}",
        "did it start?": f"aws logs tail /aws/sagemaker/Endpoints/{name} --since 2h",
        "was it dispatched?": "aws logs tail /aws/lambda/offpeak-STAGE-dispatch-shards --since 2h",
    }
    lines = (f"  {question:<27} {command}" for question, command in steps.items())
    return "\n".join(("Where to look, with STAGE as it is called:", *lines))
