"""SageMaker's GPU instance types: which GPUs they have, how many, and what those can."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """`memory_bytes` is what the product's name says in decimal gigabytes, a little under what its driver shows.
    `fp8` is whether it computes with 8-bit floats (compute capability 8.9 and up)."""

    name: str
    memory_bytes: int
    fp8: bool


A10G = Gpu(name="A10G", memory_bytes=24_000_000_000, fp8=False)
L4 = Gpu(name="L4", memory_bytes=24_000_000_000, fp8=True)
L40S = Gpu(name="L40S", memory_bytes=48_000_000_000, fp8=True)
A100 = Gpu(name="A100 40 GB", memory_bytes=40_000_000_000, fp8=False)
A100_80 = Gpu(name="A100 80 GB", memory_bytes=80_000_000_000, fp8=False)
H100 = Gpu(name="H100", memory_bytes=80_000_000_000, fp8=True)
H200 = Gpu(name="H200", memory_bytes=141_000_000_000, fp8=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class InstanceType:
    name: str
    gpu: Gpu
    gpus: int


def _family(family: str, gpu: Gpu, gpus_by_size: Mapping[str, int]) -> list[InstanceType]:
    return [
        InstanceType(name=f"ml.{family}.{size}", gpu=gpu, gpus=gpus)
        for size, gpus in gpus_by_size.items()
    ]


_G_SIZES = {
    "xlarge": 1, "2xlarge": 1, "4xlarge": 1, "8xlarge": 1, "16xlarge": 1,
    "12xlarge": 4, "24xlarge": 4, "48xlarge": 8,
}  # fmt: skip
INSTANCE_TYPES: Mapping[str, InstanceType] = {
    each.name: each
    for each in (
        *_family("g5", A10G, _G_SIZES),
        *_family("g6", L4, _G_SIZES),
        *_family("g6e", L40S, _G_SIZES),
        *_family("p4d", A100, {"24xlarge": 8}),
        *_family("p4de", A100_80, {"24xlarge": 8}),
        *_family("p5", H100, {"4xlarge": 1, "48xlarge": 8}),
        *_family("p5e", H200, {"48xlarge": 8}),
        *_family("p5en", H200, {"48xlarge": 8}),
    )
}
