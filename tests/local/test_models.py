from __future__ import annotations

import json
from pathlib import Path

import pytest

from offpeak.core.catalogue import Catalogue, parse_catalogue
from offpeak.core.destination import Allowed, parse_destination
from offpeak.core.model import Elsewhere
from offpeak.core.models_text import write_models
from offpeak.local.models import (
    EMBEDDINGS,
    TINY_CHAT,
    TINY_EMBED,
    EngineError,
    known_models,
    offer,
    pool_name,
    with_names,
    with_regions,
)

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = tmp_path / "My-Model 1.5"
    model.mkdir()
    (model / "config.json").write_text(json.dumps({"max_position_embeddings": 2_048}))
    return model


@pytest.mark.parametrize(("engine", "model"), [("echo", None), ("vllm", None), ("vllm", "a/b")])
def test_a_models_file_reads_back_as_what_was_written(
    engine: str, model: str | None, tmp_path: Path
) -> None:
    offered = offer(engine, model, tmp_path)
    assert parse_catalogue(write_models(offered.models)) == Catalogue(tuple(offered.models))


def test_the_echo_serves_chat_and_embeddings(tmp_path: Path) -> None:
    offered = offer("echo", None, tmp_path)
    assert [model.id for model in offered.models] == [TINY_CHAT, TINY_EMBED]
    assert offered.environment["OFFPEAK_ENGINE"] == "echo"


def test_what_is_written_for_a_deployed_model_runs_here(tmp_path: Path) -> None:
    known = known_models(ROOT)
    offered = with_names(offer("echo", None, tmp_path), ("mine", TINY_EMBED), known)
    catalogue = Catalogue(tuple(offered.models))
    catalogue.check_names()
    for name in ("mine", "llama-3.1-70b-instruct-fp16", "deepseek-ai/DeepSeek-V3"):
        assert catalogue.find(name) == offered.models[0]
    assert catalogue.find(TINY_EMBED) == offered.models[1]


def test_a_model_without_an_endpoint_does_not_stand_in_for_one_that_has_it(tmp_path: Path) -> None:
    known = known_models(ROOT)
    [chat] = with_names(offer("vllm", None, tmp_path), (), known).models
    [embedding] = (model for model in known if model.endpoints == EMBEDDINGS)
    assert embedding.id not in chat.aliases


def test_a_model_folder_is_served_under_its_name_with_its_own_context(
    folder: Path, tmp_path: Path
) -> None:
    [model] = offer("vllm", str(folder), tmp_path).models
    assert (model.id, model.source, model.context_tokens) == ("My-Model 1.5", str(folder), 2_048)
    assert model.pool == "my-model-1-5"


def test_a_hub_name_is_left_to_vllm_which_may_go_online(tmp_path: Path) -> None:
    offered = offer("vllm", "org/model", tmp_path)
    assert offered.models[0].source == "org/model"
    assert "HF_HUB_OFFLINE" not in offered.environment


@pytest.mark.parametrize(
    ("engine", "model", "message"),
    [
        ("vllm", "./nothing", "no config.json"),
        ("llama", None, "give vllm, echo, or the URL"),
        ("http://127.0.0.1:9", None, "Name one: MODEL="),
    ],
)
def test_what_cannot_be_served_is_said(
    engine: str, model: str | None, message: str, tmp_path: Path
) -> None:
    with pytest.raises(EngineError, match=message):
        offer(engine, model, tmp_path)


def test_a_servers_model_is_called_by_its_own_name(tmp_path: Path) -> None:
    offered = offer("http://127.0.0.1:9/v1", "llama-3", tmp_path)
    assert offered.models[0].id == "llama-3"
    assert offered.environment["OFFPEAK_ENGINE_URL"] == "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("url", "host"),
    [("http://192.168.1.5:8000", "192.168.1.5"), ("http://[fd00::1]:8/v1", "fd00::1"), ("https://LLM.lan", "llm.lan")],
)  # fmt: skip
def test_whoever_names_a_server_may_reach_it(url: str, host: str, tmp_path: Path) -> None:
    allowed = Allowed.parse(offer(url, "llama-3", tmp_path).environment["OFFPEAK_ENGINE_ALLOWED"])
    assert parse_destination(f"{url}/v1/models", allowed=allowed).host == host


@pytest.mark.parametrize(
    ("id", "pool"),
    [("offpeak/tiny-chat", "tiny-chat"), ("Qwen/Qwen2.5-7B", "qwen2-5-7b"), ("…", "model"), ("x" * 60, "x" * 40)],
)  # fmt: skip
def test_a_pool_is_named_after_its_model(id: str, pool: str) -> None:
    assert pool_name(id) == pool


def test_a_model_may_have_pools_in_further_regions(tmp_path: Path) -> None:
    found = with_regions(offer("echo", None, tmp_path), {TINY_EMBED: {"eu-north-1": Elsewhere()}})
    chat, embed = parse_catalogue(write_models(found.models)).models
    assert (list(chat.regions), list(embed.regions)) == ([], ["eu-north-1"])
    with pytest.raises(EngineError, match="no model 'other'"):
        with_regions(found, {"other": {}})
