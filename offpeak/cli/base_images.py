"""Which image of AWS's to build the worker on: its tag from the SageMaker SDK, its digest from the registry.

The SDK takes 450 MB and has a venv of its own (`make setup-ops`), so it is asked in a process of that venv.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from offpeak.cli.errors import CliError, UsageError
from offpeak.core.base_image import BaseImage

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

SDK_PYTHON = Path(".offpeak/venvs/ops/bin/python")
SDK_SECONDS_MAX = 120
FRAMEWORK = "vllm"
INSTANCE_TYPE = "ml.g6.xlarge"
"""Any with a GPU: what it decides is that the image is the one for GPUs."""
# Images of several platforms are lists; SageMaker's are single. Either has the digest that `docker pull` takes.
MANIFESTS = (
    "application/vnd.docker.distribution.manifest.v2+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.oci.image.index.v1+json",
)
_ASK = """
import sys
from sagemaker.core import image_uris
framework, region, instance_type, version = sys.argv[1:]
print(image_uris.retrieve(framework=framework, region=region, instance_type=instance_type, version=version or None,
                          image_scope="inference"))
"""
_URI = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.[a-z.]+/(?P<name>[^:@]+):(?P<tag>[^:@]+)"
)


def resolve_image(version: str | None, region: str, python: Path | None = None) -> BaseImage:
    """The image that the SageMaker SDK names for this version of vLLM, or for the newest that it knows. Raises CliError
    when the SDK isn't there or knows none."""
    command = [
        str(python or _sdk_python()),
        "-c",
        _ASK,
        FRAMEWORK,
        region,
        INSTANCE_TYPE,
        version or "",
    ]
    try:
        done = subprocess.run(  # noqa: S603 - our own command line
            command, capture_output=True, text=True, timeout=SDK_SECONDS_MAX, check=False
        )
    except subprocess.TimeoutExpired:
        raise CliError(f"The SageMaker SDK did not answer within {SDK_SECONDS_MAX} s.") from None
    said = done.stderr.strip().splitlines()
    if done.returncode:
        raise CliError(
            f"The SageMaker SDK names no image: {said[-1] if said else 'it said nothing'}"
        )
    lines = done.stdout.split()
    found = _URI.fullmatch(lines[-1]) if lines else None
    if found is None:
        raise CliError(
            f"The SageMaker SDK answered {done.stdout.strip()!r}, which is no image of ECR."
        )
    return BaseImage(repository=found[0].rpartition(":")[0], tag=found["tag"])


def find_digest(image: BaseImage, ecr: ECRClient) -> str:
    """The digest of the image's bytes, from its registry (ECR, of another account). Raises CliError for one that isn't
    there."""
    registry, _, name = image.repository.partition("/")
    answer = ecr.batch_get_image(
        registryId=registry.partition(".")[0],
        repositoryName=name,
        imageIds=[{"imageTag": image.tag}],
        acceptedMediaTypes=list(MANIFESTS),
    )
    digests = {found["imageId"]["imageDigest"] for found in answer.get("images", [])}
    if len(digests) != 1:
        reasons = [failure.get("failureReason", "") for failure in answer.get("failures", [])]
        raise CliError(
            f"The registry has no {image.reference}: {'; '.join(reasons) or 'not found'}"
        )
    return digests.pop()


def registry_region(image: BaseImage) -> str:
    """Where the image's registry is; its login is another in each region."""
    return image.repository.split(".")[3]


def _sdk_python() -> Path:
    if SDK_PYTHON.exists():
        return SDK_PYTHON
    if importlib.util.find_spec("sagemaker") is not None:
        return Path(sys.executable)
    raise UsageError(
        "The SageMaker SDK is not here. `make setup-ops` puts it in a venv of its own; run this where the Makefile is."
    )
