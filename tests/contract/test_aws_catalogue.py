"""The catalogue that a function has: the models file it was packed with, and the pools it was told are deployed."""

from __future__ import annotations

from pathlib import Path

from offpeak.aws.connect import Aws

MODELS = str(Path(__file__).parents[2] / "models.toml")


def test_a_function_knows_which_of_its_models_are_deployed() -> None:
    catalogue = Aws({"OFFPEAK_MODELS": MODELS, "OFFPEAK_POOLS": "phi-4,qwq-32b"}).catalogue
    assert [model.pool for model in catalogue.served] == ["phi-4", "qwq-32b"]
    assert catalogue.find("microsoft/phi-4-fast") is catalogue.of_pool("phi-4")
    assert catalogue.find("llama-3.1-8b-instruct-fp16") is None
    assert "not deployed here" in catalogue.absence("llama-3.1-8b-instruct-fp16")
    known = catalogue.known("llama-3.1-8b-instruct-fp16")
    assert known is not None  # work that was taken while it was deployed goes on
    assert not catalogue.serves(known)


def test_who_is_told_of_no_pools_takes_all_for_deployed() -> None:
    catalogue = Aws({"OFFPEAK_MODELS": MODELS}).catalogue
    assert catalogue.served == catalogue.models
