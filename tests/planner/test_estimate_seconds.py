"""How long a pool takes: measured where it works, else a prior that stands by its anchors."""

from dataclasses import replace
from pathlib import Path

import pytest

from offpeak.core.catalogue import parse_catalogue
from offpeak.core.instance_types import INSTANCE_TYPES
from offpeak.core.model import Model, Weights
from offpeak.core.usage import Usage
from offpeak.planner import estimate_seconds
from offpeak.planner.estimate_seconds import measured_speed, prior_speed
from tests.contract import rows

MODELS = parse_catalogue((Path(__file__).parents[2] / "models.toml").read_text()).models


def eight_billion(instance: str) -> Model:
    return Model(
        id="m", pool="m", source="s", endpoints=("/v1/completions",), context_tokens=8_192,
        weights=Weights(parameters=8, active_parameters=8, precision="fp8"),
        instance_types=(instance,),
    )  # fmt: skip


@pytest.mark.parametrize(("instance", "published"), [("ml.p5.4xlarge", 5_777), ("ml.g6e.xlarge", 1_642)])  # fmt: skip
def test_the_prior_meets_the_published_speeds(instance: str, published: float) -> None:
    speed = prior_speed(eight_billion(instance))
    assert speed is not None
    assert 1 / speed.output_seconds == pytest.approx(published, rel=0.15)


def test_every_gpu_has_its_figures() -> None:
    assert {each.gpu.name for each in INSTANCE_TYPES.values()} == set(estimate_seconds._GPUS)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.id)
def test_every_model_of_the_file_has_a_prior(model: Model) -> None:
    speed = prior_speed(model)
    assert speed is not None
    assert speed.basis == "prior"
    assert speed.seconds(Usage(input_tokens=1_000, output_tokens=1_000)) > 0


def test_a_model_of_unknown_size_has_none() -> None:
    assert prior_speed(replace(eight_billion("ml.p5.4xlarge"), weights=None)) is None
    assert prior_speed(eight_billion("ml.t3.medium")) is None


def test_a_pool_at_work_is_measured_once_it_has_worked_for_minutes() -> None:
    run = rows.run("batch_1", usage=Usage(input_tokens=900, output_tokens=100))
    idle = rows.run("batch_2", created_at=0)
    assert measured_speed([idle], rows.NOW + 9_999) is None
    assert measured_speed([run, idle], rows.NOW + 299) is None
    speed = measured_speed([run, idle], rows.NOW + 500)
    assert speed is not None
    assert speed.basis == "measured"
    assert speed.seconds(Usage(input_tokens=1_000, output_tokens=1_000)) == 1_000
