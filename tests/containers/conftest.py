"""One bucket and one set of tables for all container tests; vLLM's interpreter and its generated models."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from offpeak.local.emulator import Emulator
from tests.containers.container import ROOT, Containers
from tests.contract.aws_world import aws_world


@pytest.fixture(scope="session")
def containers(
    emulator: Emulator, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Containers]:
    with aws_world(emulator) as aws:
        yield Containers(emulator, aws, tmp_path_factory.mktemp("containers"))


@pytest.fixture(scope="session")
def python() -> str:
    """The interpreter of vLLM's venv, made by `make test`. OFFPEAK_VLLM_PYTHON names another."""
    found = os.environ.get("OFFPEAK_VLLM_PYTHON", str(ROOT / ".offpeak/venvs/vllm/bin/python"))
    if not Path(found).exists():
        pytest.fail(f"vLLM's venv is missing ({found}): run `make setup`.")
    return found


@pytest.fixture(scope="session")
def generated(python: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a model's folder: `generated("--sees")`."""

    def generated(*flags: str) -> Path:
        folder = tmp_path_factory.mktemp("model")
        subprocess.run(
            [python, "-m", "offpeak.local.tiny_model", str(folder), *flags], cwd=ROOT, check=True,
            capture_output=True,
        )  # fmt: skip
        return folder

    return generated
