"""The models this deployment knows: `models.toml`, parsed here and nowhere else, for infra and functions alike."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property
from typing import Any

from offpeak.core.model import (
    BYTES,
    EMBEDDINGS,
    ENDPOINTS,
    Elsewhere,
    KvCache,
    Modality,
    Model,
    Weights,
)
from offpeak.core.pricing import Prices
from offpeak.core.toml_fields import (
    MissingField,
    Refused,
    UnknownField,
    arguments,
    list_of,
    named_tables,
    number,
    one_of,
    read_fields,
    table_of,
    text,
    whole,
)

__all__ = ["ENDPOINTS", "Catalogue", "CatalogueError", "Modality", "Model", "parse_catalogue"]

POOL_NAME = r"[a-z0-9](-?[a-z0-9]){0,39}"
REGION_NAME = r"[a-z]{2}(-[a-z]+)+-\d"
TOKENS_MAX = 100_000_000
PRICE_MAX = 1_000_000_000  # $1,000 per million tokens
SAGEMAKER_SECONDS = (60, 3_600)  # what it takes for either time-out of a new instance
COMPLETION_TOKENS_DEFAULT, COMPLETION_TOKENS_MAX = 4_096, 16_384


class CatalogueError(ValueError):
    """`models.toml` is wrong; the message says which model, which field, and what it takes."""


@dataclass(frozen=True)
class Catalogue:
    """`pools` are those that are deployed, None being all: a model of another pool is known, but not served here."""

    models: tuple[Model, ...]
    pools: frozenset[str] | None = None

    @cached_property
    def _by_name(self) -> Mapping[str, Model]:
        names: dict[str, Model] = {}
        for model in self.models:
            for name in model.names:
                if name in names:
                    raise CatalogueError(f"models.toml: the name {name!r} is given twice.")
                names[name] = model
        return names

    @cached_property
    def _by_pool(self) -> Mapping[str, Model]:
        pools = {model.pool: model for model in self.models}
        if len(pools) != len(self.models):
            raise CatalogueError("models.toml: two models name the same pool.")
        return pools

    @cached_property
    def served(self) -> tuple[Model, ...]:
        """The models that are deployed here."""
        return tuple(model for model in self.models if self.serves(model))

    def serves(self, model: Model) -> bool:
        return self.pools is None or model.pool in self.pools

    def check_names(self) -> None:
        """Raises CatalogueError when an id, an alias or a pool is given twice."""
        _ = self._by_name, self._by_pool

    def find(self, name: str) -> Model | None:
        """The model of this id or alias, if it is deployed here: what new work may ask for."""
        model = self._by_name.get(name)
        return model if model is not None and self.serves(model) else None

    def known(self, name: str) -> Model | None:
        """The model of this id or alias, deployed or not: for work that was taken while it was."""
        return self._by_name.get(name)

    def of_pool(self, pool: str) -> Model:
        return self._by_pool[pool]

    def absence(self, name: str) -> str:
        """Why `find` gives nothing for this name, and what would help: a sentence or two for who asked."""
        quoted = repr(name if len(name) <= 80 else name[:80] + "…")
        if name in self._by_name:
            return (
                f"The model {quoted} is in the catalogue, but not deployed here. GET /v1/models lists those that are; "
                "an operator deploys it by naming it in the context's `deploy`."
            )
        close = get_close_matches(name[:80], [n for m in self.served for n in m.names], n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        return f"The model {quoted} does not exist.{hint} GET /v1/models lists those that do."


def parse_catalogue(content: str, pools: frozenset[str] | None = None) -> Catalogue:
    """The catalogue that `models.toml`'s text describes. Raises CatalogueError."""
    try:
        document = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"models.toml is not TOML: {error}") from None
    tables = document.pop("model", [])
    if not isinstance(tables, list) or not tables:
        raise CatalogueError("models.toml: no [[model]] table.")
    if document:
        raise CatalogueError(f"models.toml: there is no {sorted(document)[0]!r} beside [[model]].")
    catalogue = Catalogue(tuple(_parse_model(table) for table in tables), pools)
    catalogue.check_names()
    return catalogue


def _prices(**values: Any) -> Prices:
    """Without prices of its own, the cache changes nothing."""
    cached = dict.fromkeys(("cached_input_write", "cached_input_read"), values["input"])
    return Prices(**{**cached, **values})


_PRECISION = one_of(*BYTES)
_PRICE = whole(0, PRICE_MAX)
_PRICES = {
    "basis": one_of("base", "batch"), "input": _PRICE, "output": _PRICE,
    "cached_input_write": _PRICE, "cached_input_read": _PRICE,
}  # fmt: skip
_WEIGHTS = {
    "parameters": number(0, 100_000), "active_parameters": number(0, 100_000),
    "unquantized_parameters": number(0, 100_000), "precision": _PRECISION,
}  # fmt: skip
_KV_CACHE = {
    "layers": whole(1, 1_000), "attention_heads": whole(1, 4_096), "kv_heads": whole(0, 4_096),
    "head_dim": whole(0, 4_096), "latent_dim": whole(0, 65_536), "precision": _PRECISION,
}  # fmt: skip
_TYPES = list_of(text(r"ml\.[a-z0-9-]+\.[a-z0-9-]+"))
_ELSEWHERE = {
    "source": text(r"\S(.{0,998}\S)?"),
    "instance_types": _TYPES, "instances_min": whole(0, 10_000), "instances_max": whole(1, 10_000),
}  # fmt: skip
_MODEL = {
    "id": text(),
    "pool": text(POOL_NAME),
    "source": text(r"\S(.{0,998}\S)?"),
    "endpoints": list_of(one_of(*ENDPOINTS), least=1),
    "context_tokens": whole(1, TOKENS_MAX),
    "modality": one_of("text", "vision", "embedding"),
    "prices": table_of(_prices, _PRICES, ("basis", "input", "output")),
    "weights": table_of(Weights, _WEIGHTS, ("parameters", "active_parameters", "precision")),
    "kv_cache": table_of(KvCache, _KV_CACHE, ("layers", "attention_heads")),
    "created": whole(0, 10**11),
    "aliases": list_of(text()),
    "completion_tokens_default": whole(1, TOKENS_MAX),
    "completion_tokens_max": whole(1, TOKENS_MAX),
    "instance_types": _TYPES,
    "tensor_parallel": whole(1, 64),
    "instances_min": whole(0, 10_000),
    "instances_max": whole(1, 10_000),
    "regions": named_tables(REGION_NAME, Elsewhere, _ELSEWHERE),
    "cold_start_seconds": whole(1, 7_200),
    "concurrency": whole(1, 1_000),
    "shard_lines_max": whole(1, 1_000_000),
    "shard_bytes_max": whole(1, 10**10),
    "claim_seconds_max": whole(1, 21_600),
    "gather_seconds_busy": whole(1, 86_400),
    "gather_seconds_idle": whole(1, 86_400),
    "startup_seconds_max": whole(*SAGEMAKER_SECONDS),
    "download_seconds_max": whole(*SAGEMAKER_SECONDS),
    "attempts_max": whole(1, 100),
    "engine_args": arguments,
}
_REQUIRED = ("id", "pool", "source", "endpoints", "context_tokens", "prices")


def _parse_model(table: Mapping[str, Any]) -> Model:
    name = table.get("id", "?")
    try:
        values = read_fields(table, _MODEL, _REQUIRED)
    except MissingField as missing:
        raise _wrong(name, f"lacks {str(missing)!r}") from None
    except UnknownField as unknown:
        raise _wrong(name, f"there is no field {str(unknown)!r}") from None
    except Refused as wrong:
        value = repr(wrong.value)
        value = value if len(value) <= 120 else value[:120] + "…"
        raise _wrong(name, f"{wrong.path} is {value}; it takes {wrong.takes}") from None
    context = values["context_tokens"]
    most = values.setdefault("completion_tokens_max", min(COMPLETION_TOKENS_MAX, context))
    values.setdefault("completion_tokens_default", min(COMPLETION_TOKENS_DEFAULT, most))
    model = Model(**values)
    _check_model(model)
    _check_prices(model)
    return model


def _check_model(model: Model) -> None:
    """What fields say of each other."""
    if model.completion_tokens_max > model.context_tokens:
        raise _wrong(model.id, "completion_tokens_max is over context_tokens")
    if model.completion_tokens_default > model.completion_tokens_max:
        raise _wrong(model.id, "completion_tokens_default is over completion_tokens_max")
    pools = (model, *map(model.in_region, model.regions))
    if any(each.instances_min > each.instances_max for each in pools):
        raise _wrong(model.id, "instances_min is over instances_max")
    if model.modality == "embedding" and EMBEDDINGS not in model.endpoints:
        raise _wrong(
            model.id, f"its modality is embedding, but {EMBEDDINGS} is not among its endpoints"
        )
    if model.modality != "embedding" and set(model.endpoints) == {EMBEDDINGS}:
        raise _wrong(model.id, f"it serves {EMBEDDINGS} alone; its modality must be embedding")
    for name, other in model.regions.items():
        if model.source.startswith("s3://") and other.source is None:
            raise _wrong(
                model.id,
                f"regions.{name} lacks 'source': weights in S3 are mounted from their own region",
            )
    _check_weights(model)


def _check_weights(model: Model) -> None:
    if weights := model.weights:
        parts = (weights.active_parameters, weights.unquantized_parameters)
        if max(parts) > weights.parameters:
            raise _wrong(model.id, "weights: a part of its parameters is over them all")
    if cache := model.kv_cache:
        per_head = bool(cache.kv_heads and cache.head_dim)
        if per_head == bool(cache.latent_dim) or bool(cache.kv_heads) != bool(cache.head_dim):
            raise _wrong(model.id, "kv_cache takes kv_heads and head_dim, or else latent_dim")


def _check_prices(model: Model) -> None:
    """What is shown must be what is charged, and engines don't report which tokens they wrote to the cache."""
    if model.prices.cached_input_write != model.prices.input:
        raise _wrong(model.id, "cached_input_write differs from input; it can't be charged apart")


def _wrong(model: str, what: str) -> CatalogueError:
    return CatalogueError(f"models.toml: model {model!r}: {what}.")
