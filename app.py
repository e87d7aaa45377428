"""Synthesises Offpeak's stacks. `cdk synth`, `cdk deploy` and `python app.py` all run this, with this context:

    stage          one of stages.toml (default dev), or local (for an emulator: no tracing, backups, alarms)
    stages         the stages file (default stages.toml)
    models         the models file (default models.toml)
    deploy         which of its models get a pool: ids, aliases or pools, comma-separated, or "all"
                   (default: a small chat model and a small embedding model, both open)
    line_bytes_max the longest request line that is taken (default 1,000,000; a line's body goes to the engine whole)
    hub_token_secret   the Secrets Manager secret (name or ARN) whose text is a token of the hub, for gated models
    door           true or false: with the door or without, whatever the stage says (docs/door.md)
    target         whom the Lambda layer is built for: lambda (default), or host (this machine, this Python)

With the CLI, give `-c stage=prod`. A plain `python app.py` takes the same as JSON in CDK_CONTEXT_JSON, and writes to
CDK_OUTDIR (default cdk.out):

    CDK_CONTEXT_JSON='{"stage": "local", "target": "host"}' CDK_OUTDIR=out python app.py

Either way `cdk.json` gives what isn't given. Paths are relative to this file. No account and no Docker are needed.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from aws_cdk import App, Tags

from infra.bundles import BundleFailed, Bundles, Target, make_bundles
from infra.model_checks import UnfitModel
from infra.monitoring import STAGE_TAG
from infra.stacks import (
    AbroadStack,
    ApiStack,
    DoorStack,
    InferenceStack,
    LifecycleStack,
    MonitoringStack,
    NetworkStack,
    StorageStack,
    WafStack,
)
from infra.stage import Stage
from infra.stages_file import StageError, check_regions, parse_stages, stage_named, with_door
from offpeak.core.base_image import (
    DOOR_PIN,
    WORKER_PIN,
    BaseImage,
    BaseImageError,
    check_pinned,
    parse_base_image,
)
from offpeak.core.catalogue import Catalogue, CatalogueError, Model, parse_catalogue
from offpeak.core.fit import check_fit

ROOT = Path(__file__).resolve().parent
LINE_BYTES_MAX_DEFAULT = 1_000_000
LINE_BYTES_MAX_MOST = 64_000_000  # a shard's, and far under what validate_range holds at once


class ContextError(ValueError):
    """A value of the context is wrong; the message says which, and what it takes."""


def add_stacks(
    app: App,
    *,
    stage: Stage,
    models: Sequence[Model],
    bundles: Bundles,
    hub_token_secret: str | None = None,
    line_bytes_max: int = LINE_BYTES_MAX_DEFAULT,
) -> None:
    """Every stack of a stage that serves `models`. Raises BaseImageError for a broken pin of a container's base."""
    base_image = read_pin(WORKER_PIN)
    storage = StorageStack(app, stage=stage).storage
    lifecycle = LifecycleStack(
        app,
        stage=stage,
        storage=storage,
        models=models,
        line_bytes_max=line_bytes_max,
        bundles=bundles,
    )
    api = ApiStack(app, resources=lifecycle.resources, bundles=bundles).api
    door = None
    if stage.door:
        door = DoorStack(
            app,
            resources=lifecycle.resources,
            api=api,
            bundles=bundles,
            base_image=read_pin(DOOR_PIN),
        ).door
    if stage.waf:
        WafStack(app, stage=stage, api=api, door=door)
    network = None
    if stage.private_network:
        network = NetworkStack(app, resources=lifecycle.resources, models=models).network
    for model in models:
        InferenceStack(
            app,
            model=model,
            resources=lifecycle.resources,
            notices=lifecycle.notices,
            bundles=bundles,
            base_image=base_image,
            hub_token_secret=hub_token_secret,
            network=network,
        )
    _add_regions(
        app, stage=stage, models=models, lifecycle=lifecycle, bundles=bundles,
        base_image=base_image, hub_token_secret=hub_token_secret,
    )  # fmt: skip
    if not stage.emulated:
        MonitoringStack(
            app,
            resources=lifecycle.resources,
            dead_letter_queues=lifecycle.dead_letter_queues,
        )
    Tags.of(app).add(STAGE_TAG, stage.name)


def _add_regions(
    app: App, *, stage: Stage, models: Sequence[Model], lifecycle: LifecycleStack,
    bundles: Bundles, base_image: BaseImage, hub_token_secret: str | None,
) -> None:  # fmt: skip
    """The pools in further regions. Raises UnfitModel, StageError."""
    further = sorted({region for model in models for region in model.regions})
    if further:
        check_regions(stage, further)
    for region in further:
        abroad = AbroadStack(app, stage=stage, region=region).abroad
        for model in (each for each in models if region in each.regions):
            InferenceStack(
                app, model=model.in_region(region), resources=lifecycle.resources,
                notices=lifecycle.notices, bundles=bundles, base_image=base_image,
                hub_token_secret=hub_token_secret, region=region, abroad=abroad,
            )  # fmt: skip


def read_context(app: App, key: str, default: str) -> str:
    value = app.node.try_get_context(key)
    return default if value is None else str(value)


def choose_file(app: App, key: str, default: str) -> Path:
    """The file that the context names, relative to this one. Raises ContextError."""
    path = ROOT / read_context(app, key, default)
    if not path.is_file():
        raise ContextError(f"{key}={path}: there is no such file.")
    return path


def choose_models(catalogue: Catalogue, chosen: str) -> Sequence[Model]:
    """The models that `chosen` names. Raises ContextError."""
    if chosen.strip() == "all":
        return catalogue.models
    names = {name.strip() for name in chosen.split(",")}
    pools = {model.pool: model for model in catalogue.models}
    found = {name: catalogue.known(name) or pools.get(name) for name in names}
    if unknown := sorted(name for name, model in found.items() if model is None):
        known = [*pools, *(name for model in catalogue.models for name in model.names)]
        close = get_close_matches(unknown[0], known, n=1)
        hint = f" Did you mean {close[0]}?" if close else f" It has {', '.join(pools)}."
        raise ContextError(
            f"deploy={chosen}: models.toml has no model or pool {', '.join(unknown)}.{hint}"
        )
    wanted = {model.pool for model in found.values() if model is not None}
    return [model for model in catalogue.models if model.pool in wanted]


def check_fits(models: Sequence[Model], stage: Stage) -> None:
    """Raises CatalogueError for a model that its instance types can't hold. An emulator's instances are processes."""
    if not stage.emulated:
        for model in models:
            check_fit(model)


def read_pin(file: str) -> BaseImage:
    """What a container is built on. Raises BaseImageError."""
    return parse_base_image((ROOT / file).read_text(), file)


def check_pins(stage: Stage) -> None:
    """Raises BaseImageError where a container would be built on a tag. An emulator builds none."""
    if not stage.emulated:
        for file in (WORKER_PIN, *((DOOR_PIN,) if stage.door else ())):
            check_pinned(read_pin(file), file)


def choose_line_bytes_max(text: str) -> int:
    if text.isdecimal() and 0 < int(text) <= LINE_BYTES_MAX_MOST:
        return int(text)
    raise ContextError(f"line_bytes_max={text}: give 1 to {LINE_BYTES_MAX_MOST} bytes.")


def choose_secret(text: str) -> str | None:
    """A Secrets Manager secret by its name or ARN; empty is none. Raises ContextError."""
    if not text or re.fullmatch(r"arn:[^*?\s]+:secret:[^*?\s]+|[A-Za-z0-9/_+=.@-]{1,512}", text):
        return text or None
    raise ContextError(f"hub_token_secret={text}: give the secret's name, or its ARN.")


def choose_door(stage: Stage, text: str) -> Stage:
    """The stage with its door or without; empty is as the stage says. Raises ContextError, StageError."""
    if text not in ("", "true", "false"):
        raise ContextError(f"door={text}: give true or false.")
    return with_door(stage, text == "true") if text else stage


def choose_target(name: str) -> Target:
    for target in get_args(Target):
        if name == target:
            return target  # type: ignore[no-any-return]
    raise ContextError(f"target={name}: give one of {', '.join(get_args(Target))}.")


def main() -> None:
    defaults = json.loads((ROOT / "cdk.json").read_text())["context"]
    app = App(context=defaults, outdir=os.environ.get("CDK_OUTDIR", str(ROOT / "cdk.out")))
    models_file = choose_file(app, "models", "models.toml")
    stages = parse_stages(choose_file(app, "stages", "stages.toml").read_text())
    stage = choose_door(
        stage_named(read_context(app, "stage", "dev"), stages),
        read_context(app, "door", "").lower(),
    )
    models = choose_models(
        parse_catalogue(models_file.read_text()), read_context(app, "deploy", "all")
    )
    check_fits(models, stage)
    check_pins(stage)
    add_stacks(
        app,
        stage=stage,
        models=models,
        hub_token_secret=choose_secret(read_context(app, "hub_token_secret", "")),
        line_bytes_max=choose_line_bytes_max(
            read_context(app, "line_bytes_max", str(LINE_BYTES_MAX_DEFAULT))
        ),
        bundles=make_bundles(
            ROOT, models=models_file, target=choose_target(read_context(app, "target", "lambda"))
        ),
    )
    app.synth()


if __name__ == "__main__":
    try:
        main()
    except (
        BaseImageError,
        BundleFailed,
        CatalogueError,
        ContextError,
        StageError,
        UnfitModel,
    ) as error:
        sys.exit(f"app.py: {error}")
