"""Models as the text of a models file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from typing import Any

from offpeak.core.model import Model
from offpeak.core.pricing import FREE


def worker_facts(model: Model) -> Model:
    """The model without what its worker never asks for, so that a new price or bound is no new image for it."""
    return replace(
        model,
        aliases=(),
        prices=FREE,
        weights=None,
        kv_cache=None,
        instances_min=0,
        instances_max=1,
        regions={},
        cold_start_seconds=None,
    )


def write_models(models: Sequence[Model]) -> str:
    """The text of a models file that `parse_catalogue` reads back as these models."""
    return "\n".join(_table(model) for model in models)


def _table(model: Model) -> str:
    values = {f.name: getattr(model, f.name) for f in fields(model)}
    rows = [f"{name} = {_toml(value)}" for name, value in values.items() if value is not None]
    return "\n".join(["[[model]]", *rows]) + "\n"


def _toml(value: Any) -> str:
    """Strings, numbers, booleans, lists and tables of them: JSON's scalars are TOML's, but for the delete character."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        given = ((json.dumps(k), v) for k, v in value.items() if v is not None)
        return "{ " + ", ".join(f"{k} = {_toml(v)}" for k, v in given) + " }"
    return json.dumps(list(value) if isinstance(value, tuple) else value, ensure_ascii=False)
