"""The benchmark of scale runs, and its checker sees what is wrong. How fast is not asked here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.check_results import check
from benchmarks.scale import Stages
from benchmarks.scale_cloud import run_on
from benchmarks.scale_input import LINE_BYTES, in_parts, input_blocks
from offpeak.cli.settings import Settings
from offpeak.local.cloud import LocalCloud

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("more", "stages"), [([], set()), (["--shared"], {"reorder", "plan_reordered"})]
)
def test_a_small_file_goes_all_the_way_and_nothing_is_lost(
    more: list[str], stages: set[str]
) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale", "--lines", "5000", *more],
        cwd=ROOT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    figures = json.loads(ran.stdout.splitlines()[-1])
    assert set(figures) == {
        "lines", "bytes", "seconds", "lost", "duplicated", "out_of_order", "peak_rss_mb",
    }  # fmt: skip
    assert (figures["lines"], figures["bytes"]) == (5_000, 10_000_000)
    assert figures["lost"] == figures["duplicated"] == figures["out_of_order"] == 0
    assert set(figures["seconds"]) == {
        "upload", "create", "validate", "plan", "run", "close", "finalize", "announce", "check", *stages,
    }  # fmt: skip


@pytest.mark.cloud
def test_the_same_goes_through_the_local_cloud(cloud: LocalCloud, tmp_path: Path) -> None:
    stages = Stages()
    settings = Settings(cloud.base_url, cloud.api_key)
    paths = run_on(settings, cloud.model, 4_500, tmp_path, stages, shared=False)
    found = check(*paths)
    assert found.pop("peak_rss_mb") > 0
    assert found == {"lines": 4_500, "lost": 0, "duplicated": 0, "out_of_order": 0, "wrong": 0}
    assert {"upload", "create", "download"} <= set(stages.seconds)


def test_input_lines_are_of_one_size_and_their_parts_are_the_same_bytes() -> None:
    blocks = list(input_blocks(10_000, "m", first=7))
    body = b"".join(blocks)
    assert b"".join(in_parts(iter(blocks), 1_000_001)) == body
    lines = body.splitlines(keepends=True)
    assert {len(line) for line in lines} == {LINE_BYTES}
    assert [json.loads(line)["custom_id"] for line in lines] == [
        f"line-{number:09}" for number in range(7, 10_007)
    ]


def answer(number: int, text: str) -> dict[str, Any]:
    message = {"role": "assistant", "content": text}
    body = {"choices": [{"message": message}]}
    response = {"status_code": 200, "body": body}
    return {"custom_id": f"line-{number:09}", "response": response, "error": None}


@pytest.fixture
def answers(tmp_path: Path) -> list[dict[str, Any]]:
    lines = b"".join(input_blocks(20, "m"))
    (tmp_path / "input").write_bytes(lines)
    questions = [json.loads(line)["body"]["messages"][-1]["content"] for line in lines.splitlines()]
    return [answer(number, question) for number, question in enumerate(questions)]


def found(folder: Path, answers: list[dict[str, Any]], errors: list[int]) -> dict[str, int]:
    (folder / "output").write_text("".join(json.dumps(each) + "\n" for each in answers))
    failed = [{**answer(number, ""), "response": None, "error": {}} for number in errors]
    (folder / "errors").write_text("".join(json.dumps(each) + "\n" for each in failed))
    return check(folder / "input", folder / "output", folder / "errors")


def test_the_checker_is_content_with_each_line_once(
    tmp_path: Path, answers: list[dict[str, Any]]
) -> None:
    figures = found(tmp_path, answers[:5] + answers[7:], [5, 6])
    assert figures.pop("peak_rss_mb") > 0
    assert figures == {"lines": 20, "lost": 0, "duplicated": 0, "out_of_order": 0, "wrong": 0}


@pytest.mark.parametrize(
    ("places", "errors", "fault"),
    [
        ([*range(7), *range(8, 20)], [], "lost"),
        (range(19), [], "lost"),
        ([*range(10), 9, *range(10, 20)], [], "duplicated"),
        (range(20), [3], "duplicated"),
        ([0, 2, 1, *range(3, 20)], [], "out_of_order"),
        (range(2, 20), [1, 0], "out_of_order"),
    ],
)
def test_the_checker_sees_each_fault(
    tmp_path: Path, answers: list[dict[str, Any]], places: Any, errors: list[int], fault: str
) -> None:
    figures = found(tmp_path, [answers[place] for place in places], errors)
    assert {name for name in ("lost", "duplicated", "out_of_order", "wrong") if figures[name]} == {
        fault
    }
    assert figures[fault] == 1


def test_the_checker_sees_an_answer_that_is_another_lines(
    tmp_path: Path, answers: list[dict[str, Any]]
) -> None:
    answers[4]["response"] = answers[5]["response"]
    assert found(tmp_path, answers, [])["wrong"] == 1
