"""`offpeak images pin`: the digests of what our containers are built on, into the files that synthesis reads."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import boto3
import httpx
import typer
from botocore.exceptions import BotoCoreError, ClientError

from offpeak.cli.base_images import find_digest, registry_region
from offpeak.cli.errors import CliError, UsageError
from offpeak.cli.registries import public_digest
from offpeak.cli.show import say
from offpeak.core.base_image import (
    DOOR_PIN,
    WORKER_PIN,
    BaseImage,
    BaseImageError,
    format_base_image,
    parse_base_image,
)

SECONDS_MAX = 30
_OF_AN_ACCOUNT = ".dkr.ecr."
app = typer.Typer(no_args_is_help=True, help="The images that containers are built on.")


@app.callback()
def images() -> None:
    """Makes `pin` a command of its own, though it is the only one."""


@app.command()
def pin(
    root: Annotated[Path, typer.Option(help="Offpeak's checkout.")] = Path(),
) -> None:
    """Write down the digest of what each base image's tag names now. `cdk deploy` builds on nothing else."""
    pinned = {file: _pinned(root / file) for file in (WORKER_PIN, DOOR_PIN)}
    for file, image in pinned.items():
        try:
            (root / file).write_text(format_base_image(image))
        except OSError as error:
            raise UsageError(f"{root / file} can't be written: {error.strerror}.") from None
        say(f"Wrote {root / file}.")
        print(image.reference)
    say("Commit them: the next `cdk deploy` builds on these bytes.")


def _pinned(file: Path) -> BaseImage:
    try:
        image = parse_base_image(file.read_text(), str(file))
    except OSError:
        raise UsageError(f"{file} is not here: run this in Offpeak's checkout.") from None
    except BaseImageError as error:
        raise UsageError(str(error)) from None
    return replace(image, digest=digest_of(replace(image, digest=None)))


def digest_of(image: BaseImage) -> str:
    """Of what its tag names now: from ECR with AWS credentials, from any other registry as anybody. Raises CliError."""
    if _OF_AN_ACCOUNT not in image.registry:
        with httpx.Client(timeout=SECONDS_MAX, follow_redirects=True) as client:
            return public_digest(image, client)
    try:
        return find_digest(image, boto3.client("ecr", region_name=registry_region(image)))
    except ClientError as error:
        raise CliError(f"The registry refused: {error}") from None
    except BotoCoreError as error:
        raise UsageError(
            f"The registry can't be asked: {str(error).rstrip('.')}. Check AWS credentials."
        ) from None
