"""Whether weights and a useful KV cache fit the GPUs of a model's instance types: arithmetic, before money is spent.

Of each GPU's memory vLLM takes a share, and of that a part goes to activations, CUDA graphs and communication buffers.
Weights are spread evenly over the GPUs, and what is left caches tokens. vLLM measures all of it when it starts; this is
to find, before a deploy, what can't work.
"""

from __future__ import annotations

from offpeak.core.catalogue import CatalogueError
from offpeak.core.instance_types import INSTANCE_TYPES, InstanceType
from offpeak.core.model import KvCache, Model, Weights

MEMORY_SHARE_DEFAULT = 0.9  # of a GPU, for vLLM: its `gpu-memory-utilization`
RESERVED_BYTES = 2_000_000_000  # a GPU: activations, CUDA graphs, communication
USEFUL_TOKENS_MIN = 16_384  # less than that cached, and hardly two requests run side by side


def kv_tokens(model: Model, instance: InstanceType) -> int:
    """Tokens that the KV cache of one instance holds; negative when not even the weights fit. Raises CatalogueError
    for a model that doesn't say how large it is."""
    weights, cache = _facts(model)
    share = float(model.engine_args.get("gpu-memory-utilization", MEMORY_SHARE_DEFAULT))
    room = (
        share * instance.gpu.memory_bytes - RESERVED_BYTES - weights.bytes / model.tensor_parallel
    )
    return int(room // cache.bytes_per_token(model.tensor_parallel))


def tokens_needed(model: Model) -> int:
    """One request of the full context at least."""
    return max(model.context_tokens, USEFUL_TOKENS_MIN)


def check_fit(model: Model) -> None:
    """Raises CatalogueError, with the figures, for the first instance type that `model` can't be served on."""
    weights, cache = _facts(model)
    if not model.instance_types:
        raise _wrong(model, "it has no instance_types")
    if cache.attention_heads % model.tensor_parallel:
        raise _wrong(
            model,
            f"tensor_parallel is {model.tensor_parallel}, which does not divide its {cache.attention_heads} "
            "attention heads",
        )
    for name in model.instance_types:
        instance = INSTANCE_TYPES.get(name)
        if instance is None:
            raise _wrong(model, f"{name} is no GPU instance type that Offpeak knows: {_known()}")
        _check_instance(model, weights, instance)


def _check_instance(model: Model, weights: Weights, instance: InstanceType) -> None:
    if instance.gpus != model.tensor_parallel:
        raise _wrong(
            model,
            f"{instance.name} has {instance.gpus} GPUs, and tensor_parallel is {model.tensor_parallel}; "
            "give an instance type with exactly as many",
        )
    if weights.precision == "fp8" and not instance.gpu.fp8:
        raise _wrong(
            model,
            f"its weights are fp8, which {instance.name}'s {instance.gpu.name} does not compute",
        )
    fitting, needed = kv_tokens(model, instance), tokens_needed(model)
    if fitting < 0:
        raise _wrong(
            model,
            f"its weights ({weights.bytes / 1e9:,.1f} GB) do not fit {instance.name} "
            f"({instance.gpus} × {instance.gpu.memory_bytes / 1e9:,.0f} GB)",
        )
    if fitting < needed:
        raise _wrong(
            model,
            f"beside its weights, {instance.name} caches {fitting:,} tokens, and {needed:,} are needed; take a larger "
            "instance type or a smaller context_tokens",
        )


def _facts(model: Model) -> tuple[Weights, KvCache]:
    if model.weights is None or model.kv_cache is None:
        raise _wrong(
            model, "it lacks weights or kv_cache, without which nobody knows where it fits"
        )
    return model.weights, model.kv_cache


def _known() -> str:
    return ", ".join(INSTANCE_TYPES)


def _wrong(model: Model, what: str) -> CatalogueError:
    return CatalogueError(f"models.toml: model {model.id!r}: {what}.")
