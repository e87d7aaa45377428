"""A model as the operator describes it: what it is, what it takes and answers, what it costs, where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from offpeak.core.pricing import FREE, Prices

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
EMBEDDINGS, RESPONSES = "/v1/embeddings", "/v1/responses"
ENDPOINTS = (CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES)

Modality = Literal["text", "vision", "embedding"]
"""Text to text; text and images to text; text to vectors."""
Precision = Literal["float32", "bfloat16", "float16", "fp8", "int4"]
BYTES: Mapping[Precision, float] = {
    "float32": 4, "bfloat16": 2, "float16": 2, "fp8": 1, "int4": 0.5,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Parameters in billions: all, those that one token goes through (a mixture of experts has fewer), and those that
    stay in 16 bits whatever the precision (embeddings, head, and what else the quantiser left)."""

    parameters: float
    active_parameters: float
    precision: Precision = "bfloat16"
    unquantized_parameters: float = 0.0

    @property
    def bytes(self) -> int:
        quantized = self.parameters - self.unquantized_parameters
        each = BYTES[self.precision]
        return round(1e9 * (quantized * each + self.unquantized_parameters * max(each, 2)))


@dataclass(frozen=True, slots=True, kw_only=True)
class KvCache:
    """What attention keeps of a token, per layer: a key and a value of `head_dim` numbers for each of `kv_heads`; or,
    with multi-head latent attention, one vector of `latent_dim` numbers, and then neither of the two."""

    layers: int
    attention_heads: int
    kv_heads: int = 0
    head_dim: int = 0
    latent_dim: int = 0
    precision: Precision = "bfloat16"

    def bytes_per_token(self, tensor_parallel: int = 1) -> int:
        """On one GPU of so many. Heads are spread over them, and a head is never split; a latent vector is on each."""
        heads = -(-self.kv_heads // tensor_parallel)
        return round(
            self.layers * (2 * heads * self.head_dim + self.latent_dim) * BYTES[self.precision]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """How a model's pool in a further region differs from the one at home; None is as there."""

    source: str | None = None
    instance_types: tuple[str, ...] | None = None
    instances_min: int | None = None
    instances_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One `[[model]]` table. Token limits in tokens; `pool` names the pool, and by it the endpoint, that serves it.

    `aliases` are further names that requests may call it by. `source` is a hub name or `s3://bucket/prefix`.
    `instance_types` are in order of preference, each with `tensor_parallel` GPUs; `concurrency` is shards at once on an
    instance, which takes one more; `startup_seconds_max` and `download_seconds_max` are SageMaker's patience with a
    new one, `cold_start_seconds` what one takes, for the plan, where the operator says it; else it is measured.
    `regions` are those that have a pool of it beside the home region's.
    `gather_seconds_…` is how long a stand-alone request waits for company: while the pool works anyway, and while it
    would have to be woken for it.
    `engine_args` are vLLM's (`max-num-seqs = 256` → `--max-num-seqs 256`), and go over `engine_arguments`' own.
    """

    id: str
    pool: str
    source: str
    endpoints: tuple[str, ...]
    context_tokens: int
    modality: Modality = "text"
    prices: Prices = FREE
    weights: Weights | None = None
    kv_cache: KvCache | None = None
    created: int = 1_767_225_600
    aliases: tuple[str, ...] = ()
    completion_tokens_default: int = 4_096
    completion_tokens_max: int = 16_384
    instance_types: tuple[str, ...] = ()
    tensor_parallel: int = 1
    instances_min: int = 0
    instances_max: int = 1
    regions: Mapping[str, Elsewhere] = field(default_factory=dict)
    cold_start_seconds: int | None = None
    concurrency: int = 2
    shard_lines_max: int = 2_000
    shard_bytes_max: int = 64_000_000
    claim_seconds_max: int = 2_700
    gather_seconds_busy: int = 10
    gather_seconds_idle: int = 300
    startup_seconds_max: int = 3_600
    download_seconds_max: int = 3_600
    attempts_max: int = 4
    engine_args: Mapping[str, Any] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The id and every alias."""
        return (self.id, *self.aliases)

    def in_region(self, region: str) -> Model:
        """As its pool in this further region has it. Raises KeyError."""
        other = self.regions[region]
        return replace(
            self,
            source=other.source or self.source,
            instance_types=other.instance_types or self.instance_types,
            instances_min=self.instances_min
            if other.instances_min is None
            else other.instances_min,
            instances_max=self.instances_max
            if other.instances_max is None
            else other.instances_max,
        )

    @property
    def invocations_per_instance(self) -> int:
        """What an instance takes at once: what it works, and one more that finds its engine's window full of older
        shards', so that it never runs dry, or that is express, and goes before them."""
        return self.concurrency + 1

    @property
    def in_flight_max(self) -> int:
        """Invocations that a full pool takes at once. No more are sent: nothing waits in SageMaker's queue."""
        return self.instances_max * self.invocations_per_instance

    def ordinary_in_flight(self, instances: int) -> int:
        """How many invocations of so many instances may be shards of runs that aren't express. The rest is kept free
        for those that are; not so much that an instance could find itself without a shard, however unevenly they are
        handed out."""
        return instances * self.invocations_per_instance - min(instances, self.concurrency)

    @property
    def ordinary_in_flight_max(self) -> int:
        """Those of a full pool."""
        return self.ordinary_in_flight(self.instances_max)

    @property
    def engine_arguments(self) -> Mapping[str, Any]:
        """vLLM's arguments: those that follow from the other fields, and over them `engine_args`."""
        ours: dict[str, Any] = {"max-model-len": self.context_tokens}
        if self.tensor_parallel > 1:
            ours["tensor-parallel-size"] = self.tensor_parallel
        return {**ours, **self.engine_args}
