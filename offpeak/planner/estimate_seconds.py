"""How long tokens take a pool: by what it does right now, or else by a prior, which is rough and says so.

The prior: reading a prompt is bound by arithmetic, writing an answer by memory, both by how many parameters a token
goes through. Generating is anchored in MLPerf's 5,777 output tokens/s of an 8-billion FP8 model on one H100 (1,642 on
an L40S) and goes with the GPU's memory bandwidth; reading runs at 30 % of its dense 16-bit arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from offpeak.core.instance_types import INSTANCE_TYPES
from offpeak.core.model import BYTES, Model
from offpeak.core.run import Run
from offpeak.core.usage import Usage
from offpeak.planner.estimate_usage import Basis

# Data sheets: GB/s of memory, TFLOPS of dense 16-bit arithmetic.
_GPUS: Mapping[str, tuple[float, float]] = {
    "A10G": (600, 70),
    "L4": (300, 60),
    "L40S": (864, 181),
    "A100 40 GB": (1_555, 312),
    "A100 80 GB": (2_039, 312),
    "H100": (3_350, 989),
    "H200": (4_800, 989),
}
_OUTPUT_A_GIGABYTE = 5_777 * 8 / 3_350
"""Output tokens × billion parameters of 8 bits, for each GB of memory traffic."""
_ARITHMETIC_SHARE = 0.3
MEASURED_SECONDS_MIN = 300
FASTEST, SLOWEST = 0.5, 3.0
"""How far off a prior may well be."""
COLD_START_SECONDS = 900
"""Until the first instance of a pool that stands at zero serves: it is found, its weights are loaded, it warms up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Speed:
    """Seconds that a pool needs for a token, with all of its instances and with one."""

    input_seconds: float
    output_seconds: float
    basis: Basis
    instances: int = 1

    def seconds(self, usage: Usage) -> float:
        return usage.input_tokens * self.input_seconds + usage.output_tokens * self.output_seconds


def prior_speed(model: Model) -> Speed | None:
    """Of one instance, of the type that is preferred. None for a model that doesn't say how large it is."""
    instance = next((INSTANCE_TYPES[n] for n in model.instance_types if n in INSTANCE_TYPES), None)
    if instance is None or model.weights is None or instance.gpu.name not in _GPUS:
        return None
    bandwidth, teraflops = _GPUS[instance.gpu.name]
    weights = model.weights
    per_output = weights.active_parameters * BYTES[weights.precision] / _OUTPUT_A_GIGABYTE
    flops = 2e9 * weights.active_parameters
    return Speed(
        input_seconds=flops / (_ARITHMETIC_SHARE * teraflops * 1e12) / instance.gpus,
        output_seconds=per_output / bandwidth / instance.gpus,
        basis="prior", instances=model.instances_max,
    )  # fmt: skip


def measured_speed(running: Iterable[Run], now: float) -> Speed | None:
    """Of a pool as it is: what its runs' finished shards took since the first of them was planned. None before it has
    worked for some minutes."""
    at_work = [run for run in running if run.usage.total_tokens]
    if not at_work:
        return None
    seconds = now - min(run.created_at for run in at_work)
    tokens = sum((run.usage for run in at_work), Usage()).total_tokens
    if seconds < MEASURED_SECONDS_MIN:
        return None
    each = seconds / tokens
    return Speed(input_seconds=each, output_seconds=each, basis="measured")
