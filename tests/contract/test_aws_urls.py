"""Presigned URLs as AWS will see them: no call is made, and no emulator is needed."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offpeak.aws.connect import Aws
from offpeak.aws.objects import disposition


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    for name in ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_REGION", "eu-central-1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    return Aws({"OFFPEAK_BUCKET": "offpeak-prod-1-eu-central-1"})


def test_a_download_is_signed_for_the_buckets_own_region(aws: Aws) -> None:
    url = urlsplit(aws.presigner.download_url("results/b/output.jsonl", 900, "output.jsonl"))
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    assert url.scheme == "https"
    assert url.hostname == "offpeak-prod-1-eu-central-1.s3.eu-central-1.amazonaws.com"
    assert url.path == "/results/b/output.jsonl"
    assert query["X-Amz-Algorithm"] == "AWS4-HMAC-SHA256"
    assert query["X-Amz-Expires"] == "900"
    assert query["response-content-type"] == "application/octet-stream"
    assert query["response-content-disposition"].startswith("attachment; ")


def test_a_part_url_binds_part_and_upload_and_asks_for_no_checksum(aws: Aws) -> None:
    query = parse_qs(urlsplit(aws.presigner.part_url("files/a/f", "upload-1", 7, 3_600)).query)
    assert query["partNumber"] == ["7"]
    assert query["uploadId"] == ["upload-1"]
    assert query["X-Amz-SignedHeaders"] == ["host"]
    assert not [name for name in query if "checksum" in name.lower()]


def test_an_upload_url_takes_a_put_with_no_header_but_its_host(aws: Aws) -> None:
    query = parse_qs(urlsplit(aws.presigner.upload_url("files/a/f", 900)).query)
    assert query["X-Amz-SignedHeaders"] == ["host"]
    assert query["X-Amz-Expires"] == ["900"]
    assert not [name for name in query if "checksum" in name.lower()]


def test_an_endpoint_of_ones_own_has_the_bucket_in_the_path(
    aws: Aws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:4566")
    url = urlsplit(aws.presigner.download_url("a/b", 60, "b"))
    assert url.netloc == "localhost:4566"
    assert url.path == "/offpeak-prod-1-eu-central-1/a/b"


@given(st.text(st.characters(codec="utf-8"), max_size=300))
def test_no_filename_breaks_out_of_its_header(filename: str) -> None:
    header = disposition(filename)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2
    assert header.startswith('attachment; filename="')
