"""One word for a function's folder, its step, its test and, where `process_batch` calls it, its state."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

from infra.roles import ACCESS
from infra.sizes import SIZES

ROOT = Path(__file__).parent.parent
VERBS = sorted(path.parent.name for path in ROOT.glob("lambdas/*/handler.py"))
STEPS = [verb for verb in VERBS if verb != "api"]


def test_every_folder_is_a_function_with_rights_and_a_size() -> None:
    assert sorted(ACCESS) == VERBS
    assert sorted(SIZES) == STEPS


@pytest.mark.parametrize("verb", STEPS)
def test_a_function_calls_the_step_of_its_name(verb: str) -> None:
    assert callable(getattr(importlib.import_module(f"offpeak.steps.{verb}"), verb))
    assert f"from offpeak.steps.{verb} import" in (ROOT / f"lambdas/{verb}/handler.py").read_text()


@pytest.mark.parametrize("verb", STEPS)
def test_a_step_has_the_test_of_its_name(verb: str) -> None:
    assert (ROOT / f"tests/steps/test_{verb}.py").exists()
