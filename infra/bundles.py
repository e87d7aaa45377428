"""The folders that assets are made of, built without Docker: code is copied, dependencies are installed by pip.

A bundle's folder is named by a digest of what it is made from, under `.offpeak/bundles/`. So a second synthesis builds
nothing, and two at once can't meet a half-made one: it is built beside its place and moved there.
"""

from __future__ import annotations

import compileall
import hashlib
import os
import py_compile
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Target = Literal["lambda", "host"]

REQUIREMENTS = "requirements-lambda.txt"
TOKENIZERS = "requirements-tokenizers.txt"
CODE = (
    "offpeak/__init__.py", "offpeak/core", "offpeak/wire", "offpeak/steps", "offpeak/planner",
    "offpeak/aws", "lambdas",
)  # fmt: skip
CONTAINER = (
    "offpeak/__init__.py", "offpeak/core", "offpeak/wire", "offpeak/worker", "offpeak/aws",
    "containers/vllm",
)  # fmt: skip
DOOR = (
    "offpeak/__init__.py", "offpeak/core", "offpeak/wire", "offpeak/steps", "offpeak/planner",
    "offpeak/aws", "containers/door",
)  # fmt: skip
# What the AWS SDK knows of services takes ten times the room of all else. We speak to these; `sts` and `sso` serve its
# own search for credentials.
SDK_SERVICES = {
    "application-autoscaling", "cloudwatch", "dynamodb", "events", "s3", "sagemaker",
    "sagemaker-runtime", "secretsmanager", "sqs",
    "sso", "sso-oidc", "stepfunctions", "sts",
}  # fmt: skip
INSTALL_SECONDS_MAX = 600
UNUSED_SECONDS_MAX = 86_400
_LAMBDA = (
    "--platform", "manylinux2014_aarch64", "--implementation", "cp", "--python-version", "3.13",
    "--only-binary=:all:",
)  # fmt: skip


# What it declares is for downloads from the hub, and not locked.
_ALONE = {TOKENIZERS: ("--no-deps",)}


class BundleFailed(RuntimeError):
    """A bundle could not be made; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundles:
    """Folders: the functions' code, their dependencies as a layer, the tokenizers' library as one of its own, and the
    build contexts of worker and door."""

    code: Path
    layer: Path
    tokenizers: Path
    container: Path
    door: Path


def make_bundles(root: Path, *, models: Path, target: Target) -> Bundles:
    """The bundles of the project at `root` with this models file. Raises BundleFailed.

    `target` is whom the layer is for: Lambda (arm64, Python 3.13), or this machine and this Python.
    """
    shelf = root / ".offpeak/bundles"
    shelf.mkdir(parents=True, exist_ok=True)
    return Bundles(
        code=_copied(shelf, "code", root, CODE, models, compiled=target == "host"),
        container=_copied(shelf, "container", root, CONTAINER, models),
        door=_copied(shelf, "door", root, DOOR, models),
        layer=_layer(shelf, "layer", root / REQUIREMENTS, target),
        tokenizers=_layer(shelf, "tokenizers", root / TOKENIZERS, target),
    )


def _copied(
    shelf: Path,
    kind: str,
    root: Path,
    parts: Iterable[str],
    models: Path,
    *,
    compiled: bool = False,
) -> Path:
    """The sources under `parts`, and the models file as `models.toml`."""
    sources = {path.relative_to(root).as_posix(): path for path in _sources(root, parts)}
    sources["models.toml"] = models
    digest = hashlib.sha256(f"{_host()} compiled\n".encode() if compiled else b"")
    for name, path in sorted(sources.items()):
        digest.update(f"{name}\0{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())

    def build(folder: Path) -> None:
        for name, path in sources.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, folder / name)
        if compiled:
            _compile(folder)

    return _kept(shelf / f"{kind}-{digest.hexdigest()[:16]}", build)


def _sources(root: Path, parts: Iterable[str]) -> Iterator[Path]:
    for part in parts:
        path = root / part
        if not path.exists():
            raise BundleFailed(f"{path} is missing.")
        if path.is_file():
            yield path
        else:
            yield from (p for p in path.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _layer(shelf: Path, kind: str, requirements: Path, target: Target) -> Path:
    if not requirements.exists():
        raise BundleFailed(f"{requirements} is missing.")
    where = "lambda" if target == "lambda" else _host()
    made_of = (
        requirements.read_bytes()
        + repr((_LAMBDA, sorted(SDK_SERVICES), where, "compiled")).encode()
    )
    digest = hashlib.sha256(made_of).hexdigest()[:16]

    def build(folder: Path) -> None:
        options = _LAMBDA if target == "lambda" else ()
        _install(requirements, folder / "python", (*options, *_ALONE.get(requirements.name, ())))
        _prune(folder / "python")
        if target == "host":
            _compile(folder / "python")

    return _kept(shelf / f"{kind}-{where}-{digest}", build)


def _host() -> str:
    return f"{sysconfig.get_platform()}-{sys.version_info[0]}{sys.version_info[1]}"


def _install(requirements: Path, into: Path, options: Iterable[str]) -> None:
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check",
        "--require-hashes", "--requirement", str(requirements), "--target", str(into), *options,
    ]  # fmt: skip
    done = subprocess.run(  # noqa: S603 - our own command line
        command, capture_output=True, text=True, timeout=INSTALL_SECONDS_MAX, check=False
    )
    if done.returncode:
        raise BundleFailed(f"pip could not install {requirements.name}:\n{done.stderr}")


def _compile(packages: Path) -> None:
    """Bytecode halves a cold start. Lambda's own would need its interpreter here. Copies get new times, so only
    bytecode that isn't checked against its source is of use."""
    compileall.compile_dir(
        packages,
        quiet=2,
        workers=0,
        invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
    )


def _prune(packages: Path) -> None:
    """Leaves out what no function can reach: command lines, and the SDK's models of other services."""
    shutil.rmtree(packages / "bin", ignore_errors=True)
    for model in (packages / "botocore/data").glob("*/"):
        if model.name not in SDK_SERVICES:
            shutil.rmtree(model)


def _kept(place: Path, build: Callable[[Path], None]) -> Path:
    """`place`, built unless it is there. What it replaces is let go once nobody has used it for a day."""
    if not place.exists():
        made = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            build(made)
            made.chmod(0o755)
            made.rename(place)
        except OSError:
            if not place.exists():  # else another synthesis was quicker, with the same bundle
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    os.utime(place)
    _sweep(place)
    return place


def _sweep(place: Path) -> None:
    kind = place.name.rpartition("-")[0]
    for other in place.parent.glob(f"{kind}-*"):
        if time.time() - other.stat().st_mtime > UNUSED_SECONDS_MAX:
            shutil.rmtree(other, ignore_errors=True)
