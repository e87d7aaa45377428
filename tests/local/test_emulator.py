from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from offpeak.local.emulator import REGION, Emulator
from offpeak.local.processes import ProcessFailed, answers

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

pytestmark = pytest.mark.cloud


def _s3(emulator: Emulator) -> S3Client:
    return boto3.client(
        "s3",
        endpoint_url=emulator.url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        region_name=REGION,
    )


def test_it_answers_while_open_and_leaves_nothing_when_closed(
    emulator_python: Path, tmp_path: Path
) -> None:
    with Emulator(emulator_python, tmp_path) as emulator:
        _s3(emulator).create_bucket(Bucket="bucket")
        _s3(emulator).put_object(Bucket="bucket", Key="k", Body=b"bytes")
        assert _s3(emulator).get_object(Bucket="bucket", Key="k")["Body"].read() == b"bytes"
        port = emulator.port
    assert not answers(port)


def test_its_objects_lie_in_its_folder(emulator_python: Path, tmp_path: Path) -> None:
    with Emulator(emulator_python, tmp_path) as emulator:
        _s3(emulator).create_bucket(Bucket="mine")
        _s3(emulator).put_object(Bucket="mine", Key="k", Body=b"x")
        assert list((tmp_path / "s3").rglob("mine"))


def test_a_port_that_is_taken_is_an_error_that_shows_the_log(
    emulator_python: Path, tmp_path: Path
) -> None:
    with (
        Emulator(emulator_python, tmp_path / "one") as first,
        pytest.raises(ProcessFailed, match="already in use"),
        Emulator(emulator_python, tmp_path / "two", port=first.port),
    ):
        pass
