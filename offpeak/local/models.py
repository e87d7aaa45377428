"""What the local cloud serves: the models file of each engine, and how its instances run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import httpx

from offpeak.core.catalogue import CatalogueError, Modality, Model, parse_catalogue
from offpeak.core.model import Elsewhere
from offpeak.core.pricing import Prices

EngineKind = Literal["echo", "vllm", "server"]
TEXT: Modality = "text"
VISION: Modality = "vision"
CHAT = ("/v1/chat/completions", "/v1/completions", "/v1/responses")
EMBEDDINGS = ("/v1/embeddings",)
TINY_CHAT, TINY_EMBED = "offpeak/tiny-chat", "offpeak/tiny-embed"
TINY_CONTEXT_TOKENS = 8_192
CONTEXT_TOKENS_DEFAULT = 32_768
CLAIM_SECONDS_MAX = 300  # an instance here is there after one minute, not after twenty
COLD_START_SECONDS = 5
GATHER_SECONDS = 1  # whoever tries a request here wants its answer, not a full shard
INSTANCE_TYPE = "ml.g6.xlarge"  # the template must name one; here it is a process
UPSTREAM_SECONDS_MAX = 10.0
# The example on Nebius's page, whose batch prices are $0.07 and $0.20.
PRICES = Prices(
    input=130_000, output=400_000, cached_input_write=130_000, cached_input_read=130_000
)
VLLM_ENVIRONMENT = {
    "VLLM_NO_USAGE_STATS": "1",
    "DO_NOT_TRACK": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "auto",
}


class EngineError(ValueError):
    """The engine or the model asked for can't be served; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """The models of one local cloud, the first of them the one to try, and the variables of their instances."""

    kind: EngineKind
    models: Sequence[Model]
    environment: Mapping[str, str] = field(default_factory=dict)


def offer(engine: str, model: str | None, tiny_model: Path) -> Offer:
    """What `engine` (`echo`, `vllm` or the URL of an OpenAI-compatible server) serves: `model`, or else its default.

    Raises EngineError.
    """
    if engine == "echo":
        return _echo(model)
    if engine == "vllm":
        return _vllm(model, tiny_model)
    if urlsplit(engine).scheme in ("http", "https"):
        return _server(engine, model)
    raise EngineError(
        f"ENGINE={engine}: give vllm, echo, or the URL of an OpenAI-compatible server."
    )


def with_fields(found: Offer, fields: Mapping[str, Any]) -> Offer:
    """The same offer, its models with other values in these fields."""
    return replace(found, models=[replace(model, **fields) for model in found.models])


def with_regions(found: Offer, regions: Mapping[str, Mapping[str, Elsewhere]]) -> Offer:
    """The same offer, those of its models that are named here with a pool in each of these further regions, too.
    Raises EngineError."""
    if unknown := regions.keys() - {model.id for model in found.models}:
        raise EngineError(f"regions: no model {min(unknown)!r} is served here.")
    models = [replace(model, regions=regions.get(model.id, {})) for model in found.models]
    return replace(found, models=models)


def known_models(root: Path) -> Sequence[Model]:
    """The models of the project's `models.toml`, deployed or not. Raises EngineError when that file is wrong."""
    try:
        return parse_catalogue((root / "models.toml").read_text()).models
    except CatalogueError as error:
        raise EngineError(str(error)) from None


def with_names(found: Offer, names: Sequence[str], known: Sequence[Model]) -> Offer:
    """The same offer, its first model under further names: `names`, and those of every known model whose endpoint it
    serves. A program that was written for a deployment runs as it stands."""
    first, *others = found.models
    served = [model for model in known if set(model.endpoints) & set(first.endpoints)]
    further = [*names, *(name for model in served for name in (model.id, *model.aliases))]
    taken = {model.id for model in found.models}
    aliases = tuple(dict.fromkeys(name for name in further if name not in taken))
    return replace(found, models=[replace(first, aliases=aliases), *others])


def _echo(model: str | None) -> Offer:
    """Two of them, so that a file can mix models; an echo answers on every endpoint, and the first sees images."""
    endpoints = (*CHAT, *EMBEDDINGS)
    models = [
        _model(name, "echo", endpoints, TINY_CONTEXT_TOKENS, modality=modality)
        for name, modality in ((model or TINY_CHAT, VISION), (TINY_EMBED, TEXT))
    ]
    return Offer(kind="echo", models=models, environment={"OFFPEAK_ENGINE": "echo"})


def _vllm(model: str | None, tiny_model: Path) -> Offer:
    arguments: dict[str, Any] = {
        "dtype": "bfloat16",
        "enforce-eager": True,
        "block-size": 32,  # the CPU's default of 128 would keep short prompts out of the prefix cache
        "enable-prefix-caching": True,
        "enable-prompt-tokens-details": True,
    }
    folder = tiny_model if model is None else Path(model)
    environment = {**VLLM_ENVIRONMENT, "OFFPEAK_ENGINE": "vllm"}
    if not (folder / "config.json").exists() and model is not None:
        if model.startswith((".", "/", "~")):
            raise EngineError(f"MODEL={model}: there is no model in that folder (no config.json).")
        arguments["max-model-len"] = "auto"  # the model's own, as far as memory goes
        served = _model(model, model, CHAT, CONTEXT_TOKENS_DEFAULT, arguments)
        return Offer(kind="vllm", models=(served,), environment=environment)
    served = _model(
        TINY_CHAT if model is None else folder.resolve().name,
        str(folder.absolute()),
        CHAT,
        TINY_CONTEXT_TOKENS if model is None else _context_tokens(folder),
        arguments,
    )
    environment["HF_HUB_OFFLINE"] = "1"
    return Offer(kind="vllm", models=(served,), environment=environment)


def _context_tokens(folder: Path) -> int:
    config = json.loads((folder / "config.json").read_text())
    return int(config.get("max_position_embeddings", CONTEXT_TOKENS_DEFAULT))


def _server(url: str, model: str | None) -> Offer:
    upstream = model or _first_model(url)
    served = _model(
        upstream, upstream, (*CHAT, *EMBEDDINGS), CONTEXT_TOKENS_DEFAULT, modality=VISION
    )
    environment = {
        "OFFPEAK_ENGINE": "openai_server",
        "OFFPEAK_ENGINE_URL": url,
        "OFFPEAK_ENGINE_ALLOWED": urlsplit(url).hostname or "",  # whoever named it may reach it
    }
    return Offer(kind="server", models=(served,), environment=environment)


def _first_model(url: str) -> str:
    """The first model that the server lists."""
    root = url.rstrip("/").removesuffix("/v1")
    try:
        answer = httpx.get(f"{root}/v1/models", timeout=UPSTREAM_SECONDS_MAX)
        answer.raise_for_status()
        return str(answer.json()["data"][0]["id"])
    except (httpx.HTTPError, ValueError, LookupError) as error:
        raise EngineError(
            f"ENGINE={url}: it does not list its models ({error}). Name one: MODEL=…"
        ) from None


def _model(
    id: str,
    source: str,
    endpoints: Sequence[str],
    context_tokens: int,
    arguments: Mapping[str, Any] | None = None,
    modality: Modality = "text",
) -> Model:
    return Model(
        id=id,
        pool=pool_name(id),
        source=source,
        endpoints=tuple(endpoints),
        context_tokens=context_tokens,
        completion_tokens_default=min(1_024, context_tokens // 4),
        completion_tokens_max=context_tokens,
        instance_types=(INSTANCE_TYPE,),
        claim_seconds_max=CLAIM_SECONDS_MAX,
        instances_min=1,  # whoever tries a request here doesn't wait for a start
        cold_start_seconds=COLD_START_SECONDS,
        modality=modality,
        prices=PRICES,
        gather_seconds_busy=GATHER_SECONDS,
        gather_seconds_idle=GATHER_SECONDS,
        engine_args=arguments or {},
    )


def pool_name(id: str) -> str:
    """A pool's name out of a model's: its last part, in small letters, digits and hyphens, at most 40."""
    words = re.findall(r"[a-z0-9]+", id.rsplit("/", 1)[-1].lower())
    return "-".join(words)[:40].strip("-") or "model"
