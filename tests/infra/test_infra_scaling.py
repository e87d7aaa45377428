"""From a metric's value to an instance count, as Application Auto Scaling reads the synthesised policies."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.bundles import Bundles
from infra.scaling import HOLD_SECONDS_MIN, STEPS_MAX, capacities
from offpeak.core.catalogue import Catalogue, Model
from tests.infra.synthesised import Synthesised, synthesise

MODEL = Model(
    id="org/model", pool="model", source="org/model", endpoints=("/v1/chat/completions",),
    context_tokens=8_192, instance_types=("ml.g6.xlarge",), concurrency=2,
)  # fmt: skip


class Pool:
    """What the template of one model's pool does with `WaitingShards`."""

    def __init__(self, bundles: Bundles, **fields: Any) -> None:
        self.model = replace(MODEL, **fields)
        self.stage: Synthesised = synthesise("prod", bundles, Catalogue((self.model,)))
        self.resources = self.stage.json("inference-model")["Resources"]
        [self.target] = self._all("AWS::ApplicationAutoScaling::ScalableTarget").values()
        self.alarms = list(self._all("AWS::CloudWatch::Alarm").values())

    def _all(self, kind: str) -> dict[str, Any]:
        return {k: r["Properties"] for k, r in self.resources.items() if r["Type"] == kind}

    def policy(self, alarm: Mapping[str, Any]) -> Mapping[str, Any]:
        [action] = alarm["AlarmActions"]
        properties: Mapping[str, Any] = self.resources[action["Ref"]]["Properties"]
        return properties

    def set_to(self, recent_maximum: float | None) -> int | None:
        """The capacity that is asked for when this was the metric's maximum; None leaves the pool as it is."""
        asked = [
            self._adjustment(alarm, recent_maximum)
            for alarm in self.alarms
            if recent_maximum is not None and _breaches(alarm, recent_maximum)
        ]
        assert len(asked) <= 1, "two policies never pull at once"
        if not asked:
            return None
        low, high = self.target["MinCapacity"], self.target["MaxCapacity"]
        return int(min(max(asked[0], low), high))

    def _adjustment(self, alarm: Mapping[str, Any], value: float) -> int:
        steps = self.policy(alarm)["StepScalingPolicyConfiguration"]["StepAdjustments"]
        above = "GreaterThan" in alarm["ComparisonOperator"]
        over = value - alarm["Threshold"]
        [found] = [
            step["ScalingAdjustment"]
            for step in steps
            for low in [step.get("MetricIntervalLowerBound", -math.inf)]
            for high in [step.get("MetricIntervalUpperBound", math.inf)]
            if (low <= over < high if above else low < over <= high)
        ]
        return int(found)


def _breaches(alarm: Mapping[str, Any], value: float) -> bool:
    threshold = float(alarm["Threshold"])
    return {
        "GreaterThanOrEqualToThreshold": value >= threshold,
        "LessThanThreshold": value < threshold,
    }[str(alarm["ComparisonOperator"])]


@pytest.fixture(scope="module")
def sleeper(bundles: Bundles) -> Pool:
    return Pool(bundles, instances_max=4)


def test_a_pool_has_the_instances_that_its_shards_fill(sleeper: Pool) -> None:
    shards = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 5_000]
    assert [sleeper.set_to(n) for n in shards] == [0, 1, 1, 2, 2, 3, 3, 4, 4, 4, 4]


def test_a_pool_never_goes_below_its_fewest_instances(bundles: Bundles) -> None:
    pool = Pool(bundles, instances_min=2, instances_max=3)
    assert [pool.set_to(n) for n in (0, 1, 4, 5, 99)] == [2, 2, 2, 3, 3]


def test_a_pool_of_always_one_instance_is_left_at_it(bundles: Bundles) -> None:
    pool = Pool(bundles, instances_min=1, instances_max=1)
    assert [pool.set_to(n) for n in (0, 1, 99)] == [1, 1, 1]


def test_a_large_pool_has_room_for_its_shards_within_the_limit_on_steps(bundles: Bundles) -> None:
    pool = Pool(bundles, instances_max=150, concurrency=3)
    [busy] = [a for a in pool.alarms if "Greater" in a["ComparisonOperator"]]
    steps = pool.policy(busy)["StepScalingPolicyConfiguration"]["StepAdjustments"]
    assert len(steps) == STEPS_MAX
    for shards in (1, 2, 3, 4, 50, 200, 449, 450, 9_999):
        assert (pool.set_to(shards) or 0) * 3 >= min(shards, 450)


@given(least=st.integers(0, 300), more=st.integers(0, 300))
def test_capacities_ascend_from_the_least_to_the_most(least: int, more: int) -> None:
    model = replace(MODEL, instances_min=least, instances_max=max(1, least + more))
    sizes = capacities(model)
    assert sizes == sorted(set(sizes))
    assert len(sizes) <= STEPS_MAX
    assert (sizes[0], sizes[-1]) == (max(1, least), model.instances_max)


def test_missing_data_moves_nothing(sleeper: Pool) -> None:
    assert sleeper.set_to(None) is None
    assert {alarm["TreatMissingData"] for alarm in sleeper.alarms} == {"notBreaching"}
    for alarm in sleeper.alarms:
        assert not {"OKActions", "InsufficientDataActions"} & set(alarm)


def test_a_pool_is_held_for_a_shards_time_after_its_busiest_minute(sleeper: Pool) -> None:
    for alarm in sleeper.alarms:
        assert alarm["Statistic"] == "Maximum"
        assert alarm["Period"] * alarm["EvaluationPeriods"] >= HOLD_SECONDS_MIN
        assert alarm["Period"] % 60 == 0
        assert alarm["EvaluationPeriods"] == 1  # so that one busy minute is enough to wake it


def test_what_takes_an_hour_to_start_is_held_for_longer(bundles: Bundles) -> None:
    quick = Pool(bundles, startup_seconds_max=600)
    slow = Pool(bundles, startup_seconds_max=3_600)
    assert {a["Period"] for a in quick.alarms} == {900}
    assert {a["Period"] for a in slow.alarms} == {1_200}


def test_the_metric_is_the_one_that_measure_pools_publishes(sleeper: Pool) -> None:
    for alarm in sleeper.alarms:
        assert (alarm["Namespace"], alarm["MetricName"]) == ("Offpeak", "WaitingShards")
        assert alarm["Dimensions"] == [
            {"Name": "Stage", "Value": "prod"}, {"Name": "Pool", "Value": "model"},
        ]  # fmt: skip
