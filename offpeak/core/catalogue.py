"""The models this deployment serves: `models.toml`, parsed here and nowhere else, for infra and functions alike."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

ENDPOINTS = ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses")
_POOL_NAME = re.compile(r"[a-z0-9](-?[a-z0-9]){0,39}")


class CatalogueError(ValueError):
    """`models.toml` is wrong; the message says which model, which field, and what it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One `[[model]]` table. Token limits in tokens; `pool` names the pool, and by it the endpoint, that serves it.

    `instance_types` are in order of preference; `concurrency` is async invocations at once on an instance;
    `engine_args` are vLLM's (`max-model-len = 8192` → `--max-model-len 8192`).
    """

    id: str
    pool: str
    source: str
    endpoints: tuple[str, ...]
    context_tokens: int
    created: int = 1_767_225_600
    aliases: tuple[str, ...] = ()
    completion_tokens_default: int = 4_096
    completion_tokens_max: int = 16_384
    instance_types: tuple[str, ...] = ()
    instances_min: int = 0
    instances_max: int = 1
    concurrency: int = 2
    shard_lines_max: int = 2_000
    shard_bytes_max: int = 64_000_000
    claim_seconds_max: int = 2_700
    attempts_max: int = 4
    engine_args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def in_flight_max(self) -> int:
        """Invocations a full pool can take now, plus one an instance so that none runs dry."""
        return self.instances_max * (self.concurrency + 1)


@dataclass(frozen=True)
class Catalogue:
    models: tuple[Model, ...]

    @cached_property
    def _by_name(self) -> Mapping[str, Model]:
        names: dict[str, Model] = {}
        for model in self.models:
            for name in (model.id, *model.aliases):
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

    def check_names(self) -> None:
        """Raises CatalogueError when an id, an alias or a pool is given twice."""
        _ = self._by_name, self._by_pool

    def find(self, name: str) -> Model | None:
        """The model of this id or alias."""
        return self._by_name.get(name)

    def of_pool(self, pool: str) -> Model:
        return self._by_pool[pool]


def parse_catalogue(text: str) -> Catalogue:
    """The catalogue that `models.toml`'s text describes. Raises CatalogueError."""
    try:
        tables = tomllib.loads(text).get("model", [])
    except tomllib.TOMLDecodeError as error:
        raise CatalogueError(f"models.toml is not TOML: {error}") from None
    if not isinstance(tables, list) or not tables:
        raise CatalogueError("models.toml: no [[model]] table.")
    catalogue = Catalogue(tuple(_parse_model(table) for table in tables))
    catalogue.check_names()
    return catalogue


_INTEGERS = {f.name for f in fields(Model) if f.type == "int"}
_STRINGS = {"id", "pool", "source"}
_LISTS = {"endpoints", "aliases", "instance_types"}
_REQUIRED = ("id", "pool", "source", "endpoints", "context_tokens")


def _parse_model(table: Mapping[str, Any]) -> Model:
    name = table.get("id", "?")
    for key in _REQUIRED:
        if key not in table:
            raise CatalogueError(f"models.toml: model {name!r} lacks {key!r}.")
    values = {key: _parse_field(name, key, value) for key, value in table.items()}
    model = Model(**values)
    if not _POOL_NAME.fullmatch(model.pool):
        raise CatalogueError(
            f"models.toml: model {name!r}: pool {model.pool!r} must match {_POOL_NAME.pattern}."
        )
    unknown = [endpoint for endpoint in model.endpoints if endpoint not in ENDPOINTS]
    if unknown or not model.endpoints:
        raise CatalogueError(
            f"models.toml: model {name!r}: endpoints {unknown} are not among {ENDPOINTS}."
        )
    if model.instances_min > model.instances_max:
        raise CatalogueError(f"models.toml: model {name!r}: instances_min is over instances_max.")
    return model


def _parse_field(model: str, key: str, value: Any) -> Any:
    if key in _INTEGERS and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    if key in _STRINGS and isinstance(value, str) and value:
        return value
    if key in _LISTS and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if key == "engine_args" and isinstance(value, dict):
        return value
    known = key in _INTEGERS | _STRINGS | _LISTS or key == "engine_args"
    wrong = f"{value!r} is not a valid {key!r}" if known else f"there is no field {key!r}"
    raise CatalogueError(f"models.toml: model {model!r}: {wrong}.")
