"""vLLM's arguments for each GPU: every instance type has its row, and the pinned vLLM knows every flag."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from containers.vllm.tuning import TUNINGS, tuned_arguments, tuning_of
from offpeak.core.fit import MEMORY_SHARE_DEFAULT
from offpeak.core.instance_types import H100, INSTANCE_TYPES, L40S
from offpeak.core.model import CHAT, KvCache, Model

ROOT = Path(__file__).parents[2]
MODEL = Model(id="m", pool="m", source="m", endpoints=(CHAT,), context_tokens=8_192)
# Parses a list of argument sets as the engine does; prints what vLLM understood of each.
PARSE = """
import json, sys
from offpeak.worker.engines.vllm import parse_arguments
found = [vars(parse_arguments("m", "m", each)) for each in json.loads(sys.stdin.read())]
names = ("max_num_seqs", "max_num_batched_tokens", "gpu_memory_utilization",
         "enable_prefix_caching", "kv_cache_dtype", "async_scheduling", "scheduling_policy")
print(json.dumps([{name: each[name] for name in names} for each in found]))
"""


def test_every_instance_type_has_its_row() -> None:
    assert {each.gpu.name for each in INSTANCE_TYPES.values()} == {t.gpu.name for t in TUNINGS}


@pytest.mark.parametrize(
    ("device", "gpu"),
    [
        ("NVIDIA A10G", "A10G"), ("NVIDIA L4", "L4"), ("NVIDIA L40S", "L40S"),
        ("NVIDIA A100-SXM4-40GB", "A100 40 GB"), ("NVIDIA A100-SXM4-80GB", "A100 80 GB"),
        ("NVIDIA H100 80GB HBM3", "H100"), ("NVIDIA H200", "H200"),
        ("NVIDIA L40", None), ("AMD EPYC", None), ("", None),
    ],
)  # fmt: skip
def test_a_gpu_is_known_by_its_driver_s_name(device: str, gpu: str | None) -> None:
    found = tuning_of(device)
    assert (found.gpu.name if found else None) == gpu


def test_what_is_no_gpu_of_ours_is_left_to_vllm() -> None:
    assert tuned_arguments(MODEL, "") == {}


def test_no_share_of_memory_is_below_what_the_fit_is_computed_with() -> None:
    assert min(t.gpu_memory_utilization for t in TUNINGS) >= MEMORY_SHARE_DEFAULT


def test_the_cache_is_in_eight_bits_where_the_catalogue_says_so_and_the_gpu_can() -> None:
    cache = KvCache(layers=1, attention_heads=1, precision="fp8")
    halved = Model(
        id="m", pool="m", source="m", endpoints=(CHAT,), context_tokens=1, kv_cache=cache
    )
    assert tuned_arguments(halved, f"NVIDIA {L40S.name}")["kv-cache-dtype"] == "fp8"
    assert "kv-cache-dtype" not in tuned_arguments(halved, "NVIDIA A10G")
    assert "kv-cache-dtype" not in tuned_arguments(MODEL, f"NVIDIA {H100.name} 80GB HBM3")


@pytest.mark.vllm
def test_the_pinned_vllm_knows_every_flag() -> None:
    python = os.environ.get("OFFPEAK_VLLM_PYTHON", str(ROOT / ".offpeak/venvs/vllm/bin/python"))
    if not Path(python).exists():
        pytest.fail(f"vLLM's venv is missing ({python}): run `make setup-vllm`.")
    cache = KvCache(layers=1, attention_heads=1, precision="fp8")
    model = Model(id="m", pool="m", source="m", endpoints=(CHAT,), context_tokens=1, kv_cache=cache)
    asked = [dict(tuned_arguments(model, f"NVIDIA {t.driver_name}")) for t in TUNINGS]
    ran = subprocess.run(
        [python, "-c", PARSE], cwd=ROOT, input=json.dumps(asked), capture_output=True, text=True,
        timeout=240, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    for tuning, flags, found in zip(
        TUNINGS, asked, json.loads(ran.stdout.splitlines()[-1]), strict=True
    ):
        for flag, value in flags.items():
            assert found[flag.replace("-", "_")] == value, tuning.gpu.name
        assert found["scheduling_policy"] == "priority"
        assert found["async_scheduling"] is None  # vLLM's choice: on wherever the rest allows it
