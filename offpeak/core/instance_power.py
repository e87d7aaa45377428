"""What an instance draws and costs while it works: assumptions, each with its source, where AWS tells neither.

Power is GPUs × their rated power × `GPU_LOAD` + vCPUs × `WATTS_A_VCPU` + GiB of memory × `WATTS_A_GIB`, times `PUE`.

    rated power    A10G 153 W, A100 407 W: Cloud Carbon Footprint's AwsFootprintEstimationConstants.ts (commit b7a049c).
                   L4 72 W, L40S 350 W, H100 and H200 (SXM) 700 W: NVIDIA's data sheets
    GPU_LOAD       0.75: an assumption. Decoding is bound by memory and draws less than the rated power; reports of 57
                   to 79 % are usual
    WATTS_A_VCPU   2.12: between AWS's 0.74 idle and 3.5 busy at half load, Cloud Carbon Footprint, as above
    WATTS_A_GIB    0.392, likewise. vCPUs and memory of instance types: AWS's pages on EC2 instance types, from memory
    PUE            1.135, likewise: what a data centre draws over what its machines do

Prices are SageMaker's for a hosting instance's hour on demand in us-east-1, 2026-09. Those marked † are from memory:
EC2's price × 1.25, the ratio that the others have. A type that isn't listed has no price here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from offpeak.core.instance_types import INSTANCE_TYPES

RATED_WATTS: Mapping[str, float] = {
    "A10G": 153, "L4": 72, "L40S": 350, "A100 40 GB": 407, "A100 80 GB": 407, "H100": 700,
    "H200": 700,
}  # fmt: skip
GPU_LOAD = 0.75
WATTS_A_VCPU = 0.74 + 0.5 * (3.5 - 0.74)
WATTS_A_GIB = 0.392
PUE = 1.135
PRICES_OF = "us-east-1, on demand, 2026-09"

_VCPUS = {
    "xlarge": 4, "2xlarge": 8, "4xlarge": 16, "8xlarge": 32, "12xlarge": 48, "16xlarge": 64,
    "24xlarge": 96, "48xlarge": 192,
}  # fmt: skip
_GIB_A_VCPU = {
    "g5": 4,
    "g6": 4,
    "g6e": 8,
    "p4d": 12,
    "p4de": 12,
    "p5": 32 / 3,
    "p5e": 32 / 3,
    "p5en": 32 / 3,
}
_USD_PER_HOUR: Mapping[str, float] = {
    "ml.g5.xlarge": 1.41, "ml.g5.2xlarge": 1.515, "ml.g5.12xlarge": 7.09, "ml.g5.48xlarge": 20.36,
    "ml.g6.xlarge": 1.006,  # †
    "ml.g6.2xlarge": 1.222, "ml.g6.12xlarge": 5.752,
    "ml.g6e.xlarge": 2.61, "ml.g6e.2xlarge": 2.80,
    "ml.g6e.4xlarge": 3.755,  # †
    "ml.g6e.12xlarge": 13.12,
    "ml.g6e.24xlarge": 18.83,  # †
    "ml.g6e.48xlarge": 37.66,
    "ml.p4d.24xlarge": 25.25, "ml.p5.4xlarge": 7.912, "ml.p5.48xlarge": 63.30,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class InstancePower:
    """`kilowatts` at the meter of the data centre, `usd_per_hour` on demand; None where it isn't known."""

    kilowatts: float
    usd_per_hour: float | None


def instance_power(name: str) -> InstancePower | None:
    """Of a SageMaker instance type, `ml.g6e.xlarge`; None for one that isn't in `INSTANCE_TYPES`."""
    kind = INSTANCE_TYPES.get(name)
    if kind is None:
        return None
    _, family, size = name.split(".")
    vcpus = _VCPUS[size]
    watts = (
        kind.gpus * RATED_WATTS[kind.gpu.name] * GPU_LOAD
        + vcpus * WATTS_A_VCPU
        + vcpus * _GIB_A_VCPU[family] * WATTS_A_GIB
    )
    return InstancePower(kilowatts=watts * PUE / 1_000, usd_per_hour=_USD_PER_HOUR.get(name))
