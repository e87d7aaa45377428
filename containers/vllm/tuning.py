"""vLLM's arguments for throughput on each GPU that the catalogue's instance types have.

What the catalogue or the operator says goes over these. Reasons and sources are in docs/tuning.md; `tests/containers/
test_tuning.py` holds that vLLM knows every flag, and that every instance type has its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from offpeak.core.instance_types import A10G, A100, A100_80, H100, H200, L4, L40S, Gpu
from offpeak.core.model import Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """`driver_name` is how the driver's name of the GPU begins, after "NVIDIA"."""

    gpu: Gpu
    driver_name: str
    max_num_seqs: int
    max_num_batched_tokens: int
    gpu_memory_utilization: float


TUNINGS = (
    Tuning(gpu=A10G, driver_name="A10G", max_num_seqs=128, max_num_batched_tokens=4_096,
           gpu_memory_utilization=0.90),
    Tuning(gpu=L4, driver_name="L4", max_num_seqs=128, max_num_batched_tokens=4_096,
           gpu_memory_utilization=0.90),
    Tuning(gpu=L40S, driver_name="L40S", max_num_seqs=256, max_num_batched_tokens=8_192,
           gpu_memory_utilization=0.92),
    Tuning(gpu=A100, driver_name="A100-SXM4-40GB", max_num_seqs=256, max_num_batched_tokens=8_192,
           gpu_memory_utilization=0.92),
    Tuning(gpu=A100_80, driver_name="A100-SXM4-80GB", max_num_seqs=256,
           max_num_batched_tokens=8_192, gpu_memory_utilization=0.92),
    Tuning(gpu=H100, driver_name="H100", max_num_seqs=1_024, max_num_batched_tokens=16_384,
           gpu_memory_utilization=0.92),
    Tuning(gpu=H200, driver_name="H200", max_num_seqs=1_024, max_num_batched_tokens=16_384,
           gpu_memory_utilization=0.92),
)  # fmt: skip


def tuning_of(device: str) -> Tuning | None:
    """By the driver's name of the GPU: "NVIDIA L40S", "NVIDIA H100 80GB HBM3". None for one that has no row."""
    name = device.removeprefix("NVIDIA ").strip()
    found = (t for t in TUNINGS if name == t.driver_name or name.startswith(t.driver_name + " "))
    return next(found, None)


def tuned_arguments(model: Model, device: str) -> Mapping[str, Any]:
    """For this model on this GPU; none for what is no GPU of ours, a CPU for one."""
    tuning = tuning_of(device)
    if tuning is None:
        return {}
    arguments: dict[str, Any] = {
        "max-num-seqs": tuning.max_num_seqs,
        "max-num-batched-tokens": max(tuning.max_num_batched_tokens, tuning.max_num_seqs),
        "gpu-memory-utilization": tuning.gpu_memory_utilization,
    }
    if model.modality != "embedding":
        arguments["enable-prefix-caching"] = True
    if model.kv_cache is not None and model.kv_cache.precision == "fp8" and tuning.gpu.fp8:
        arguments["kv-cache-dtype"] = "fp8"
    return arguments
