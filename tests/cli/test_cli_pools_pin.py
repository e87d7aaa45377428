"""`offpeak pools pin`: the real SDK's answer, the registry's digest, and the file that synthesis reads."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from typer.testing import CliRunner

from offpeak.cli import base_images, pools
from offpeak.cli.base_images import find_digest, registry_region, resolve_image
from offpeak.cli.errors import CliError, UsageError
from offpeak.core.base_image import (
    WORKER_PIN,
    BaseImage,
    BaseImageError,
    format_base_image,
    parse_base_image,
)

ROOT = Path(__file__).parent.parent.parent
DIGEST = f"sha256:{'a1' * 32}"
IMAGE = BaseImage(
    repository="763104351884.dkr.ecr.us-east-1.amazonaws.com/vllm",
    tag="0.30.0-gpu-py312-cu130-ubuntu24.04-sagemaker",
)


@pytest.fixture(scope="session")
def sdk_python() -> Path:
    """The SDK takes seconds to import, so few tests ask the real one."""
    python = ROOT / base_images.SDK_PYTHON
    if not python.exists():
        pytest.fail(f"The SageMaker SDK's venv is missing ({python}): run `make setup-ops`.")
    return python


def test_what_the_sdk_does_not_know_is_said_in_its_words(sdk_python: Path) -> None:
    with pytest.raises(CliError, match=r"Unsupported vllm version: 99\.0"):
        resolve_image("99.0", "us-east-1", sdk_python)


def test_our_default_base_is_the_one_that_the_sdk_names(sdk_python: Path) -> None:
    """The committed pin names AWS's public registry, which needs no login, by the same tag."""
    pin = parse_base_image((ROOT / WORKER_PIN).read_text())
    assert resolve_image(pin.tag.partition("-")[0], "us-east-1", sdk_python).tag == pin.tag


def test_an_answer_that_is_no_image_is_refused() -> None:
    with pytest.raises(CliError, match="names no image"):
        resolve_image(None, "us-east-1", Path(sys.executable))  # a Python without the SDK


@pytest.fixture
def registry() -> Iterator[Stubber]:
    """It holds every call and answer to ECR's service model."""
    client = boto3.client(
        "ecr", region_name="us-east-1", aws_access_key_id="test", aws_secret_access_key="test"
    )
    with Stubber(client) as stubber:
        yield stubber


def ecr(registry: Stubber) -> Any:
    return registry.client


ASKED = {
    "registryId": "763104351884",
    "repositoryName": "vllm",
    "imageIds": [{"imageTag": IMAGE.tag}],
    "acceptedMediaTypes": list(base_images.MANIFESTS),
}


def test_a_digest_is_asked_of_the_images_own_registry(registry: Stubber) -> None:
    found = {"imageId": {"imageTag": IMAGE.tag, "imageDigest": DIGEST}, "imageManifest": "{}"}
    registry.add_response("batch_get_image", {"images": [found], "failures": []}, ASKED)
    assert find_digest(IMAGE, ecr(registry)) == DIGEST
    registry.assert_no_pending_responses()


def test_an_image_that_the_registry_lacks_is_said(registry: Stubber) -> None:
    failure = {
        "imageId": {"imageTag": IMAGE.tag}, "failureCode": "ImageNotFound",
        "failureReason": "Requested image not found",
    }  # fmt: skip
    registry.add_response("batch_get_image", {"images": [], "failures": [failure]}, ASKED)
    with pytest.raises(CliError, match="Requested image not found"):
        find_digest(IMAGE, ecr(registry))


def test_a_pin_is_read_as_it_was_written() -> None:
    for image in (IMAGE, BaseImage(repository=IMAGE.repository, tag=IMAGE.tag, digest=DIGEST)):
        assert parse_base_image(format_base_image(image)) == image


def test_with_a_digest_the_build_gets_exactly_those_bytes() -> None:
    pinned = BaseImage(repository="registry.example/vllm", tag="1", digest=DIGEST)
    assert pinned.reference == f"registry.example/vllm:1@{DIGEST}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("repository = ", "not TOML"),
        ('tag = "1"', "repository is None"),
        ('repository = "vllm"\ntag = "1"', "repository is 'vllm'"),
        ('repository = "r.example/vllm"\ntag = "a b"', "tag is 'a b'"),
        ('repository = "r.example/vllm"\ntag = "1"\ndigest = "sha256:12"', "digest is"),
        ('repository = "r.example/vllm"\ntag = "1"\nplatform = "x"', "no field 'platform'"),
    ],
)
def test_a_broken_pin_is_refused_with_its_field(text: str, says: str) -> None:
    with pytest.raises(BaseImageError, match=re.escape(says)):
        parse_base_image(text)


def test_the_command_writes_the_newest_image_of_a_region_and_prints_its_reference(
    sdk_python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(base_images, "SDK_PYTHON", sdk_python)
    monkeypatch.setattr(pools, "digest_of", lambda _: DIGEST)
    file = tmp_path / "base-image.toml"
    done = CliRunner().invoke(pools.app, ["pin", "--region", "eu-central-1", "--file", str(file)])
    assert done.exit_code == 0, done.output
    pinned = parse_base_image(file.read_text())
    assert registry_region(pinned) == "eu-central-1"
    assert re.fullmatch(r"\d+\.\d+\.\d+-gpu-\S+-sagemaker", pinned.tag)
    assert pinned.digest == DIGEST
    assert pinned.reference in done.stdout
    assert "aws ecr get-login-password --region eu-central-1" in done.stderr


def test_without_the_sdk_a_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="make setup-ops"):
        resolve_image(None, "us-east-1")


def test_no_command_line_loads_the_sdks_at_its_start() -> None:
    seen = subprocess.run(
        [sys.executable, "-c",
         "import sys, json, offpeak.cli.main; print(json.dumps(sorted(m.split('.')[0] for m in sys.modules)))"],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert not {"sagemaker", "huggingface_hub"} & set(json.loads(seen.stdout))
