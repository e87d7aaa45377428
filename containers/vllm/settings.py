"""The container's settings, from its environment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from offpeak.core.catalogue import Model
from offpeak.core.destination import NOTHING_MORE, Allowed, Reach
from offpeak.worker.settings import WorkerSettings

EngineName = Literal["vllm", "openai_server", "echo"]
MOUNTED_MODEL = Path("/opt/ml/model")


class SettingsError(ValueError):
    """A variable is missing or wrong; the message says which, and what it takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContainerSettings:
    """`engine_args` go over the catalogue's. `engine_model` is the name by which a server at `engine_url` knows the
    model, when it is not the catalogue's id; `engine_allowed` are private hosts and networks that the URL may lead to.
    `reach` is how far away images are fetched from. `hub_token_secret` is the name or ARN of a secret in Secrets
    Manager: a token of the hub, for gated weights."""

    model: str
    engine: EngineName = "vllm"
    engine_url: str | None = None
    engine_api_key: str | None = field(default=None, repr=False)
    engine_model: str | None = None
    engine_allowed: Allowed = NOTHING_MORE
    engine_args: Mapping[str, Any] = field(default_factory=dict)
    model_path: str | None = None
    reach: Reach = Reach.PUBLIC
    hub_token_secret: str | None = field(default=None, repr=False)
    home_region: str | None = None
    echo_seconds_per_line: float = 0.0
    bind_host: str = "0.0.0.0"  # noqa: S104 - SageMaker's proxy comes from outside the container
    port: int = 8080
    worker: WorkerSettings = field(default_factory=WorkerSettings)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> ContainerSettings:
        """Raises SettingsError, and ValueError for the worker's own."""
        if "OFFPEAK_MODEL" not in environment:
            raise SettingsError("OFFPEAK_MODEL is not set; it takes the catalogue's id of a model.")
        engine = environment.get("OFFPEAK_ENGINE", "vllm")
        if engine not in get_args(EngineName):
            raise SettingsError(
                f"OFFPEAK_ENGINE is {engine!r}; it takes one of {get_args(EngineName)}."
            )
        reach = environment.get("OFFPEAK_REACH", Reach.PUBLIC.value)
        if reach not in list(Reach):
            raise SettingsError(f"OFFPEAK_REACH is {reach!r}; it takes one of {', '.join(Reach)}.")
        url = environment.get("OFFPEAK_ENGINE_URL") or None
        if engine == "openai_server" and url is None:
            raise SettingsError("OFFPEAK_ENGINE_URL is not set; the engine openai_server needs it.")
        return cls(
            model=environment["OFFPEAK_MODEL"],
            engine=engine,  # type: ignore[arg-type]  # it is one of them
            engine_url=url,
            engine_api_key=environment.get("OFFPEAK_ENGINE_API_KEY") or None,
            engine_model=environment.get("OFFPEAK_ENGINE_MODEL") or None,
            engine_allowed=_parse_allowed(environment),
            engine_args=_parse_object(environment, "OFFPEAK_ENGINE_ARGS"),
            model_path=environment.get("OFFPEAK_MODEL_PATH") or None,
            reach=Reach(reach),
            hub_token_secret=environment.get("OFFPEAK_HUB_TOKEN_SECRET") or None,
            home_region=environment.get("OFFPEAK_HOME_REGION") or None,
            echo_seconds_per_line=_parse_number(environment, "OFFPEAK_ECHO_SECONDS_PER_LINE", 0.0),
            bind_host=environment.get("OFFPEAK_BIND_HOST", "0.0.0.0"),  # noqa: S104
            port=int(_parse_number(environment, "SAGEMAKER_BIND_TO_PORT", 8080)),
            worker=WorkerSettings.from_environment(environment),
        )

    def path_of(self, model: Model, mounted: Path = MOUNTED_MODEL) -> str:
        """Where vLLM finds the weights: as told, as SageMaker mounted them, or the catalogue's source."""
        if self.model_path is not None:
            return self.model_path
        return str(mounted) if (mounted / "config.json").exists() else model.source


def _parse_allowed(environment: Mapping[str, str]) -> Allowed:
    try:
        return Allowed.parse(environment.get("OFFPEAK_ENGINE_ALLOWED", ""))
    except ValueError as error:
        raise SettingsError(f"OFFPEAK_ENGINE_ALLOWED: {error}") from None


def _parse_object(environment: Mapping[str, str], name: str) -> Mapping[str, Any]:
    text = environment.get(name) or "{}"
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise SettingsError(f"{name} is {text[:80]!r}; it takes a JSON object.")
    return value


def _parse_number(environment: Mapping[str, str], name: str, default: float) -> float:
    text = environment.get(name) or str(default)
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise SettingsError(f"{name} is {text!r}; it takes a number from zero.")
    return value
