"""`offpeak models stage`: a model's weights from the hub into the account's own S3, once.

A file goes straight from the hub to S3, in parts, and appears under its key only when all of it was right. What is
there already, by size and by the hub's name of its content, is not sent again: a run that broke off goes on with the
first file that is missing. Files are kept under the commit they are of, so that a later one replaces nothing that an
endpoint reads. The tokenizer is copied to where `POST /v1/batches/estimate` reads it, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import boto3
import httpx
import typer
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from offpeak.cli.errors import CliError, UsageError
from offpeak.cli.hub import TIMEOUT, HubFile, HubModel, HubStream, list_model
from offpeak.cli.show import say, size_text
from offpeak.cli.words import read_models
from offpeak.core.catalogue import Model
from offpeak.core.layout import TOKENIZER_FILE, tokenizer_key
from offpeak.core.ports import TOKENIZER_BYTES_MAX

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

FILES_AT_ONCE = 4
PART_BYTES = 64 * 1024**2
"""10,000 of them are 670 GB, more than any one file; memory is about two a file at once."""
HUB_ETAG = "hub-etag"  # the object's metadata
_ABSENT = ("404", "NoSuchKey", "NotFound")
MODELS_FILE = Path("models.toml")


def stage(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="Its id or alias in models.toml, or a hub name.")
    ],
    bucket: Annotated[
        str | None, typer.Option(help="Where to; by default the deployment's own bucket.")
    ] = None,
    revision: Annotated[str, typer.Option(help="The hub's branch, tag or commit.")] = "main",
    deployment: Annotated[
        str, typer.Option("--stage", envvar="OFFPEAK_STAGE", help="Whose bucket.")
    ] = "dev",
) -> None:
    """Copy a model's weights from the hub to S3, where its instances load them without leaving the account, and its
    tokenizer to where estimates find it. Of a model that is served from S3, only the latter."""
    known = _known(model)
    source = known.source if known else model
    found = None if source.startswith("s3://") else _listed(source, revision)
    try:
        place = bucket or _own_bucket(deployment)
        s3 = boto3.client("s3", config=Config(max_pool_connections=4 * FILES_AT_ONCE))
        if found is None:
            say(f"{model} is served from {source}: its weights are staged already.")
            origin, _, prefix = source.removeprefix("s3://").partition("/")
        else:
            sent = copy_weights(found, s3, place, say)
            origin, prefix = place, weights_prefix(found)
        if known:
            own = _own_bucket(deployment)
            say(stage_tokenizer(s3, origin, prefix.rstrip("/"), own, known.pool))
    except ClientError as error:
        raise CliError(f"S3 refused: {error}") from None
    except BotoCoreError as error:
        raise UsageError(
            f"AWS can't be called: {str(error).rstrip('.')}. Check AWS credentials and AWS_REGION."
        ) from None
    if found is None:
        return
    there = len(found.files) - sent
    say(f"{sent} files copied" + (f", {there} were there." if there else "."))
    say("Put this line in its table in models.toml and deploy; SageMaker then mounts the weights:")
    print(f'source = "s3://{place}/{weights_prefix(found)}"')
    if known is None:
        say("Then run this again with the model's id, for its tokenizer: estimates count by it.")


def _listed(source: str, revision: str) -> HubModel:
    if source.count("/") != 1 or source.startswith(("/", ".")):
        raise UsageError(f"{source!r} is no hub name (owner/model).")
    found = list_model(source, revision)
    total = sum(file.bytes for file in found.files)
    say(f"{source} at {found.commit[:12]}: {len(found.files)} files, {size_text(total)}.")
    return found


def stage_tokenizer(s3: S3Client, origin: str, prefix: str, bucket: str, pool: str) -> str:
    """From the folder of a model's files into the bucket of the deployment; what came of it, as a sentence."""
    key = f"{prefix}/{TOKENIZER_FILE}"
    try:
        size = s3.head_object(Bucket=origin, Key=key)["ContentLength"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _ABSENT:
            return f"It has no {TOKENIZER_FILE}: estimates reckon its tokens by bytes."
        raise
    if size > TOKENIZER_BYTES_MAX:
        return f"Its {TOKENIZER_FILE} is over {size_text(TOKENIZER_BYTES_MAX)}: estimates reckon its tokens by bytes."
    try:
        s3.copy_object(
            Bucket=bucket, Key=tokenizer_key(pool), CopySource={"Bucket": origin, "Key": key}
        )
    except ClientError as error:  # the weights are there all the same
        return (
            f"Its {TOKENIZER_FILE} could not be copied to {bucket}; estimates go by bytes: {error}"
        )
    return "Estimates count by its tokenizer from now on."


def weights_prefix(model: HubModel) -> str:
    return f"weights/{model.name}/{model.commit}"


def copy_weights(model: HubModel, s3: S3Client, bucket: str, tell: Callable[[str], None]) -> int:
    """How many files had to be sent. Raises CliError for the first that fails; no further one is begun then."""
    stop = threading.Event()
    prefix = weights_prefix(model)
    sent = 0
    with httpx.Client(timeout=TIMEOUT) as hub, ThreadPoolExecutor(FILES_AT_ONCE) as pool:

        def copy(file: HubFile) -> bool:
            if stop.is_set() or _is_there(s3, bucket, f"{prefix}/{file.path}", file):
                return False
            with HubStream(model, file, hub) as stream:
                _send(s3, bucket, f"{prefix}/{file.path}", file, stream)
            return True

        copies = {pool.submit(copy, file): file for file in _smallest_last(model.files)}
        try:
            for done, copied in enumerate(as_completed(copies), start=1):
                if copied.result():
                    sent += 1
                    file = copies[copied]
                    tell(f"  {done:>4} of {len(copies)}  {file.path} ({size_text(file.bytes)})")
        except BaseException:
            stop.set()  # what has not begun doesn't begin
            raise
    return sent


def _smallest_last(files: Sequence[HubFile]) -> list[HubFile]:
    """`config.json` and the tokenizer come last: a prefix that has them has everything."""
    return sorted(files, key=lambda file: (-file.bytes, file.path))


def _is_there(s3: S3Client, bucket: str, key: str, file: HubFile) -> bool:
    try:
        head = s3.head_object(Bucket=bucket, Key=key)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _ABSENT:
            return False
        raise
    return head["ContentLength"] == file.bytes and head["Metadata"].get(HUB_ETAG) == file.etag


def _send(s3: S3Client, bucket: str, key: str, file: HubFile, stream: Any) -> None:
    """In parts when it is large. A stream that fails ends the upload, and S3 keeps nothing of it."""
    s3.upload_fileobj(
        stream,
        bucket,
        key,
        ExtraArgs={"Metadata": {HUB_ETAG: file.etag}},
        Config=TransferConfig(
            multipart_threshold=PART_BYTES, multipart_chunksize=PART_BYTES, max_concurrency=2
        ),
    )


def _known(name: str) -> Model | None:
    """The model of this id or alias in models.toml; another name is the hub's own."""
    if not MODELS_FILE.is_file():
        return None
    models = read_models(MODELS_FILE).models
    return next((model for model in models if name in (model.id, *model.aliases)), None)


def _own_bucket(deployment: str) -> str:
    """By the name that infra/storage.py gives it."""
    session = boto3.Session()
    account = session.client("sts").get_caller_identity()["Account"]
    if session.region_name is None:
        raise UsageError("No AWS region is set; give AWS_REGION.")
    return f"offpeak-{deployment}-{account}-{session.region_name}"
