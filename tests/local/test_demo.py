from __future__ import annotations

import json
from pathlib import Path

import pytest

from offpeak.local.demo import DemoError, read_input


def _line(url: str, model: object) -> bytes:
    return json.dumps({"custom_id": "a", "url": url, "body": {"model": model}}).encode() + b"\n"


def test_the_first_line_says_the_endpoint_and_every_line_its_model(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_bytes(
        b"not JSON\n[]\n\xff\n"
        + _line("/v1/embeddings", "one")
        + _line("/v1/completions", "two")
        + _line("/v1/embeddings", "one")
        + _line("/v1/embeddings", 3)
    )
    asked = read_input(path)
    assert (asked.endpoint, asked.models) == ("/v1/embeddings", ("one", "two"))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(DemoError, match=r"FILE=.*no such file"):
        read_input(tmp_path / "gone.jsonl")
