"""`offpeak drop FILE`: puts a file into the drop folder with the operator's AWS credentials, and follows it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import boto3
import typer

from offpeak.cli.deployment import Stage, deployment, named_account
from offpeak.cli.errors import CliError, UsageError
from offpeak.cli.keys import DEFAULT_ACCOUNT, AccountName
from offpeak.cli.show import say
from offpeak.cli.words import checked
from offpeak.core.drop import INPUT_SUFFIXES, DropSource, account_of, is_reserved
from offpeak.wire.drop_options import parse_typed

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

POLL_SECONDS = 2.0


def drop(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="name.jsonl or name.jsonl.gz")],
    account: AccountName = None,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="completion-window=6h, on-invalid=skip, …"),
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Wait for the end.")] = False,
    stage: Stage = "dev",
) -> None:
    """Put a file into the S3 drop folder. Prints where its status appears, or with --watch its results."""
    if not file.is_file():
        raise UsageError(f"{file}: there is no such file.")
    if not file.name.endswith(INPUT_SUFFIXES) or is_reserved(file.name):
        raise UsageError(f"{file.name}: the drop folder takes name.jsonl and name.jsonl.gz.")
    metadata = dict(_pair(text) for text in option or ())
    with checked():
        parse_typed(metadata)
    with deployment(stage, "accounts") as aws:
        owner = named_account(aws, account or DEFAULT_ACCOUNT)
        session = boto3.Session(region_name=os.environ.get("AWS_REGION"))
        number = session.client("sts").get_caller_identity()["Account"]
        bucket = f"offpeak-{stage}-{number}-{session.region_name}"
        s3 = session.client("s3")
        source = DropSource(key=f"drop/{owner.id}/{file.name}", etag="")
        if account_of(source.key) is None:
            raise UsageError(f"{file.name}: the drop folder takes name.jsonl and name.jsonl.gz.")
        s3.upload_file(str(file), bucket, source.key, ExtraArgs={"Metadata": metadata})
        say(f"Put {file.name} into s3://{bucket}/{source.key}.")
        if not watch:
            print(f"s3://{bucket}/{source.status_key}")
            return
        etag = s3.head_object(Bucket=bucket, Key=source.key)["ETag"].strip('"')
        status = _follow(s3, bucket, DropSource(key=source.key, etag=etag))
    for key in (status["output"], status["errors"]):
        if key is not None:
            print(f"s3://{bucket}/{key}")
    if status["status"] != "completed":
        raise CliError(f"{file.name} ended {status['status']}: {status['message']}")


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise UsageError(f"--option {text}: give NAME=VALUE.")
    return name, value


def _follow(s3: S3Client, bucket: str, source: DropSource) -> Mapping[str, Any]:
    """The final status of these bytes. What an earlier object of the name left there is passed over."""
    told = ""
    while True:
        try:
            body = s3.get_object(Bucket=bucket, Key=source.status_key)["Body"].read()
            status: Mapping[str, Any] = json.loads(body)
        except s3.exceptions.NoSuchKey:
            status = {}
        if status.get("input") == {"key": source.key, "etag": source.etag}:
            line = f"{status['status']}: {status['message']}"
            if line != told:
                say(line)
                told = line
            if status["final"]:
                return status
        time.sleep(POLL_SECONDS)
