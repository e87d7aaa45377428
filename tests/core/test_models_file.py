"""`models.toml` as it is shipped."""

from __future__ import annotations

from pathlib import Path

import pytest

from offpeak.core.catalogue import Catalogue, Model, parse_catalogue
from offpeak.core.fit import RESERVED_BYTES, check_fit, tokens_needed
from offpeak.core.instance_types import INSTANCE_TYPES
from offpeak.core.model import EMBEDDINGS
from offpeak.core.pricing import Prices

CATALOGUE = parse_catalogue((Path(__file__).parents[2] / "models.toml").read_text())

EXXA = (
    "llama-3.1-8b-instruct-fp16",
    "llama-3.1-70b-instruct-fp16",
    "llama-3.3-70b-instruct-fp16",
    "llama-3.1-nemotron-70b-instruct-fp16",
    "beta:qwen-2-vl-72b-instruct-fp16",
)
TOGETHER = (
    "deepseek-ai/DeepSeek-R1",
    "deepseek-ai/DeepSeek-V3",
    "meta-llama/Llama-3-70b-chat-hf",
    "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8",
    "meta-llama/Llama-4-Scout-17B-16E-Instruct",
    "meta-llama/Meta-Llama-3.1-405B-Instruct-Turbo",
    "meta-llama/Meta-Llama-3.1-70B-Instruct-Turbo",
    "meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo",
    "mistralai/Mistral-7B-Instruct-v0.1",
    "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "Qwen/Qwen2.5-72B-Instruct-Turbo",
    "Qwen/Qwen2.5-7B-Instruct-Turbo",
    "Qwen/Qwen3-235B-A22B-fp8-tput",
    "Qwen/QwQ-32B",
)
HIVE = (
    "Llama 3.2 1B Instruct",
    "Llama 3.2 3B Instruct",
    "Llama 3.1 8B Instruct",
    "Llama 3.1 70B Instruct",
)
NEBIUS = ("Meta/Llama-3.1-70B-Instruct", "Meta/Llama-3.1-70B-Instruct-fast")


@pytest.fixture(params=CATALOGUE.models, ids=lambda model: model.pool)
def model(request: pytest.FixtureRequest) -> Model:
    return request.param  # type: ignore[no-any-return]


def _named(name: str) -> Model:
    found = CATALOGUE.find(name)
    assert found is not None, name
    return found


@pytest.mark.parametrize("name", [*EXXA, *TOGETHER, *HIVE, *NEBIUS])
def test_every_model_of_the_pages_is_found_by_the_name_that_its_page_uses(name: str) -> None:
    assert _named(name).endpoints[0] == "/v1/chat/completions"


def test_the_same_weights_are_there_once() -> None:
    assert len({(model.source, model.weights) for model in CATALOGUE.models}) == len(
        CATALOGUE.models
    )
    assert _named("Llama 3.1 8B Instruct") is _named("llama-3.1-8b-instruct-fp16")
    assert _named("Llama 3.1 70B Instruct") is _named("llama-3.1-70b-instruct-fp16")
    assert _named("llama-3.1-70b-instruct-fp16") is not _named("llama-3.3-70b-instruct-fp16")


def test_sixteen_bits_and_fp8_of_the_same_model_are_two_models() -> None:
    full = _named("llama-3.1-8b-instruct-fp16").weights
    turbo = _named("meta-llama/Meta-Llama-3.1-8B-Instruct-Turbo").weights
    assert full is not None
    assert turbo is not None
    assert (full.parameters, full.precision) == (turbo.parameters, "bfloat16")
    assert turbo.precision == "fp8"


def test_exxas_models_cost_what_exxas_table_says() -> None:
    small, *large = (_named(name) for name in EXXA)
    assert small.prices == Prices(
        input=100_000, output=150_000, cached_input_write=100_000, cached_input_read=20_000,
        basis="batch",
    )  # fmt: skip
    for model in large:
        assert model.prices == Prices(
            input=300_000, output=500_000, cached_input_write=300_000, cached_input_read=60_000,
            basis="batch",
        )  # fmt: skip


def test_exxas_models_have_exxas_limits() -> None:
    for name in EXXA:
        model = _named(name)
        assert (model.completion_tokens_default, model.completion_tokens_max) == (4_096, 16_384)
        assert model.context_tokens == (32_768 if "qwen-2-vl" in name else 131_072)


def test_nebius_example_is_priced_as_in_its_sentence_and_its_fast_variant_the_same() -> None:
    model, fast = (_named(name) for name in NEBIUS)
    assert (model.prices.input, model.prices.output, model.prices.basis) == (
        130_000, 400_000, "base",
    )  # fmt: skip
    assert fast is model


def test_every_model_that_writes_has_a_fast_variant_in_the_same_pool_at_the_same_price(
    model: Model,
) -> None:
    if model.modality != "embedding":
        assert CATALOGUE.find(f"{model.id}-fast") is model


def test_there_is_an_embedding_model_and_there_are_models_that_see() -> None:
    modalities = {model.modality for model in CATALOGUE.models}
    assert modalities == {"text", "vision", "embedding"}
    assert _named("Qwen/Qwen3-Embedding-0.6B").endpoints == (EMBEDDINGS,)


def test_every_model_has_a_price(model: Model) -> None:
    assert model.prices.input > 0
    assert model.prices.output > 0 or model.modality == "embedding"


def test_weights_and_a_whole_context_fit_every_instance_type_of_every_model(model: Model) -> None:
    """The sum anew, byte by byte and GPU by GPU, beside what synthesis checks."""
    check_fit(model)
    weights, cache = model.weights, model.kv_cache
    assert weights is not None
    assert cache is not None
    width = 1 if weights.precision == "fp8" else 2
    a_gpu = 1e9 * weights.parameters * width / model.tensor_parallel
    heads = max(1, cache.kv_heads // model.tensor_parallel)
    numbers = cache.latent_dim or 2 * heads * cache.head_dim
    a_token = cache.layers * numbers * 2
    for name in model.instance_types:
        instance = INSTANCE_TYPES[name]
        assert instance.gpus == model.tensor_parallel
        assert (
            a_gpu + a_token * tokens_needed(model) + RESERVED_BYTES
            < 0.9 * instance.gpu.memory_bytes
        )


def test_the_largest_models_run_on_h200_only() -> None:
    for name in ("deepseek-ai/DeepSeek-R1", "deepseek-ai/DeepSeek-V3"):
        gpus = {INSTANCE_TYPES[each].gpu.name for each in _named(name).instance_types}
        assert gpus == {"H200"}


def test_a_shard_of_any_model_can_name_five_instance_types_at_most(model: Model) -> None:
    assert 1 <= len(model.instance_types) <= 5


def test_the_whole_file_is_about_as_many_models_as_the_pages_name() -> None:
    named = {_named(name).id for name in (*EXXA, *TOGETHER, *HIVE, *NEBIUS)}
    assert len(named) == 22
    assert isinstance(CATALOGUE, Catalogue)
