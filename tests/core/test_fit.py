from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.core.catalogue import CatalogueError
from offpeak.core.fit import MEMORY_SHARE_DEFAULT, RESERVED_BYTES, check_fit, kv_tokens
from offpeak.core.instance_types import H200, INSTANCE_TYPES, InstanceType
from offpeak.core.model import KvCache, Model, Weights

LLAMA_8B = Model(
    id="org/llama",
    pool="llama",
    source="org/llama",
    endpoints=("/v1/chat/completions",),
    context_tokens=131_072,
    weights=Weights(parameters=8.03, active_parameters=8.03),
    kv_cache=KvCache(layers=32, attention_heads=32, kv_heads=8, head_dim=128),
    instance_types=("ml.g6e.xlarge",),
)
DEEPSEEK = replace(
    LLAMA_8B,
    weights=Weights(
        parameters=684.5, active_parameters=37, precision="fp8", unquantized_parameters=3.8
    ),
    kv_cache=KvCache(layers=61, attention_heads=128, latent_dim=576),
    tensor_parallel=8,
    instance_types=("ml.p5en.48xlarge",),
)
instances = st.sampled_from(sorted(INSTANCE_TYPES.values(), key=lambda each: each.name))
weights = st.builds(
    Weights,
    parameters=st.floats(0.1, 700),
    active_parameters=st.just(0.1),
    precision=st.sampled_from(["bfloat16", "fp8"]),
)
caches = st.builds(
    KvCache,
    layers=st.integers(1, 130),
    attention_heads=st.sampled_from([8, 32, 64, 128]),
    kv_heads=st.sampled_from([1, 4, 8, 16]),
    head_dim=st.sampled_from([64, 128]),
) | st.builds(
    KvCache,
    layers=st.integers(1, 130),
    attention_heads=st.just(128),
    latent_dim=st.integers(1, 1_024),
)


def _on(instance: InstanceType, **changes: Any) -> Model:
    return replace(
        LLAMA_8B,
        **{"tensor_parallel": instance.gpus, "instance_types": (instance.name,), **changes},
    )


def test_a_model_that_fits_is_taken() -> None:
    check_fit(LLAMA_8B)
    check_fit(DEEPSEEK)


def test_a_llamas_token_is_128_kib_and_a_latent_one_is_on_every_gpu() -> None:
    assert LLAMA_8B.kv_cache is not None
    assert DEEPSEEK.kv_cache is not None
    assert LLAMA_8B.kv_cache.bytes_per_token() == 131_072
    assert LLAMA_8B.kv_cache.bytes_per_token(8) == 131_072 // 8
    assert LLAMA_8B.kv_cache.bytes_per_token(16) == 131_072 // 8  # a head is never split
    assert DEEPSEEK.kv_cache.bytes_per_token(8) == DEEPSEEK.kv_cache.bytes_per_token() == 70_272


@pytest.mark.parametrize(
    ("model", "changes", "says"),
    [
        (LLAMA_8B, {"instance_types": ("ml.g6.xlarge",)}, r"caches \d[\d,]+ tokens, and 131,072"),
        (DEEPSEEK, {"instance_types": ("ml.p5.48xlarge",)}, r"\(688\.3 GB\) do not fit ml\.p5\.48"),
        (DEEPSEEK, {"instance_types": ("ml.p4de.24xlarge",)}, "fp8, which .* does not compute"),
        (LLAMA_8B, {"instance_types": ("ml.g6e.12xlarge",)}, "has 4 GPUs, and tensor_parallel is 1"),
        (LLAMA_8B, {"instance_types": ("ml.m7i.large",)}, "no GPU instance type that Offpeak knows"),
        (LLAMA_8B, {"instance_types": ()}, "no instance_types"),
        (LLAMA_8B, {"tensor_parallel": 3}, "does not divide its 32 attention heads"),
        (LLAMA_8B, {"weights": None}, "lacks weights or kv_cache"),
        (LLAMA_8B, {"kv_cache": None}, "lacks weights or kv_cache"),
        (LLAMA_8B, {"engine_args": {"gpu-memory-utilization": 0.5}}, "smaller context_tokens"),
    ],
)  # fmt: skip
def test_a_misfit_is_refused_with_its_figures(
    model: Model, changes: dict[str, Any], says: str
) -> None:
    with pytest.raises(CatalogueError, match=says):
        check_fit(replace(model, **changes))


@given(instances, weights, caches)
def test_what_is_cached_never_takes_more_than_there_is(
    instance: InstanceType, weights: Weights, cache: KvCache
) -> None:
    model = _on(instance, weights=weights, kv_cache=cache)
    tokens = kv_tokens(model, instance)
    share = MEMORY_SHARE_DEFAULT * instance.gpu.memory_bytes
    used = RESERVED_BYTES + weights.bytes / instance.gpus
    a_token = cache.bytes_per_token(instance.gpus)
    assert used + tokens * a_token <= share < used + (tokens + 1) * a_token


@given(instances, weights, caches, st.floats(1.01, 4))
def test_larger_weights_never_leave_more_room(
    instance: InstanceType, weights: Weights, cache: KvCache, factor: float
) -> None:
    larger = replace(weights, parameters=weights.parameters * factor)
    smaller = kv_tokens(_on(instance, weights=weights, kv_cache=cache), instance)
    assert kv_tokens(_on(instance, weights=larger, kv_cache=cache), instance) <= smaller


@given(weights, caches, st.sampled_from([1, 2, 4, 8]))
def test_more_gpus_never_hold_less(weights: Weights, cache: KvCache, gpus: int) -> None:
    few = InstanceType(name="few", gpu=H200, gpus=gpus)
    many = InstanceType(name="many", gpu=H200, gpus=2 * gpus)
    held = kv_tokens(_on(few, weights=weights, kv_cache=cache), few)
    held_by_more = kv_tokens(_on(many, weights=weights, kv_cache=cache), many)
    assert held_by_more >= held or held < 0


@given(weights)
def test_what_stays_in_sixteen_bits_counts_as_sixteen(weights: Weights) -> None:
    whole = replace(weights, unquantized_parameters=weights.parameters)
    assert whole.bytes == pytest.approx(2e9 * weights.parameters, rel=1e-6)
    assert weights.bytes <= whole.bytes + 1
