"""The container's settings, from its environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from containers.vllm.settings import ContainerSettings, SettingsError
from offpeak.core.catalogue import Model

MODEL = Model(
    id="tiny", pool="tiny", source="hub/tiny", endpoints=("/v1/completions",), context_tokens=1
)


def test_only_the_model_must_be_named() -> None:
    settings = ContainerSettings.from_environment({"OFFPEAK_MODEL": "tiny"})
    assert (settings.engine, settings.port, settings.engine_args) == ("vllm", 8080, {})
    assert settings.worker.shard_seconds_max + settings.worker.drain_seconds < 3_600


def test_every_variable_has_its_setting() -> None:
    settings = ContainerSettings.from_environment(
        {
            "OFFPEAK_MODEL": "tiny", "OFFPEAK_ENGINE": "openai_server",
            "OFFPEAK_ENGINE_URL": "http://x", "OFFPEAK_ENGINE_API_KEY": "secret",
            "OFFPEAK_ENGINE_ARGS": '{"max-model-len": 9}', "SAGEMAKER_BIND_TO_PORT": "81",
            "OFFPEAK_BIND_HOST": "127.0.0.1", "OFFPEAK_CHECKPOINT_SECONDS": "0.5",
            "OFFPEAK_LINE_ATTEMPTS_MAX": "2",
            "OFFPEAK_ENGINE_ALLOWED": "vllm.internal., 10.0.0.0/8,",
        }
    )  # fmt: skip
    assert settings.engine_args == {"max-model-len": 9}
    assert (settings.bind_host, settings.port) == ("127.0.0.1", 81)
    assert (settings.worker.checkpoint_seconds, settings.worker.line_attempts_max) == (0.5, 2)
    assert "secret" not in repr(settings)
    assert settings.engine_allowed.admits("vllm.internal", "192.168.0.1")
    assert settings.engine_allowed.admits("any", "10.1.2.3")
    assert not settings.engine_allowed.admits("any", "192.168.0.1")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OFFPEAK_ENGINE", "abacus"),
        ("OFFPEAK_ENGINE", "openai_server"),
        ("OFFPEAK_ENGINE_ARGS", "[1]"),
        ("OFFPEAK_ENGINE_ARGS", "{"),
        ("OFFPEAK_ECHO_SECONDS_PER_LINE", "-1"),
        ("OFFPEAK_RENEW_SECONDS", "soon"),
        ("OFFPEAK_RENEW_SECONDS", "0"),
        ("OFFPEAK_LINE_ATTEMPTS_MAX", "1.5"),
        ("OFFPEAK_ENGINE_ALLOWED", "http://10.0.0.1"),
        ("OFFPEAK_ENGINE_ALLOWED", "10.0.0.0/33"),
    ],
)
def test_a_wrong_value_is_refused(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="OFFPEAK_"):
        ContainerSettings.from_environment({"OFFPEAK_MODEL": "tiny", name: value})


def test_without_a_model_there_is_nothing_to_serve() -> None:
    with pytest.raises(SettingsError, match="OFFPEAK_MODEL"):
        ContainerSettings.from_environment({})


def test_weights_are_where_one_says_then_where_they_are_mounted_then_at_their_source(
    tmp_path: Path,
) -> None:
    settings = ContainerSettings(model="tiny")
    assert settings.path_of(MODEL, mounted=tmp_path) == "hub/tiny"
    (tmp_path / "config.json").write_text("{}")
    assert settings.path_of(MODEL, mounted=tmp_path) == str(tmp_path)
    assert ContainerSettings(model="t", model_path="/x").path_of(MODEL, tmp_path) == "/x"
