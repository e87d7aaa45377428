"""`offpeak pools smoke`, through the real road of the local cloud."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.caller import Caller
from tests.e2e.command import offpeak
from tests.e2e.lines import MODEL

pytestmark = [pytest.mark.cloud]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(caller: Caller, tmp_path: Path) -> Run:
    environment = {"OFFPEAK_BASE_URL": caller.base_url, "OFFPEAK_API_KEY": caller.api_key}
    return lambda *arguments: offpeak(*arguments, environment=environment, cwd=tmp_path)


def test_a_pool_that_works_is_reported_with_its_figures(run: Run) -> None:
    done = run("pools", "smoke", MODEL, "--lines", "5", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["status"], report["completed"], report["failed"]) == ("completed", 5, 0)
    assert report["output_tokens"] > 0
    assert 0 < report["seconds_to_first"] <= report["seconds"]
    assert report["errors"] == []
    assert "completed" in done.stderr


def test_a_pool_that_fails_is_reported_with_why_and_where_to_look(run: Run) -> None:
    done = run("pools", "smoke", "nobody/knows-it", "--lines", "2")
    assert done.returncode == 1
    assert "status" in done.stdout
    assert "failed" in done.stdout
    assert "nobody/knows-it" in done.stdout  # the batch's own words
    assert "0 of 2 lines have a result" in done.stderr
    assert "aws sagemaker describe-endpoint" in done.stderr
