"""Application Auto Scaling's contract, as far as an endpoint's variant is scaled by it: a target with bounds, and
scheduled actions that set them once, at a time. Which instance leaves when there are too many is left to chance.

A new bound moves a capacity that is outside at once; inside, the endpoint goes by its backlog, as its policies would.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from offpeak.local.deploy import PSEUDO_PARAMETERS

PREFIX = "AnyScaleFrontendService."
DIMENSION = "sagemaker:variant:DesiredInstanceCount"
_RESOURCE = re.compile(r"endpoint/([A-Za-z0-9-]{1,63})/variant/([A-Za-z0-9-]{1,63})")
_AT = re.compile(r"at\((\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)\)")


class ScalingError(ValueError):
    """Application Auto Scaling's own refusal; `kind` is the exception's name."""

    def __init__(self, message: str, kind: str = "ValidationException") -> None:
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Bounds:
    least: int
    most: int

    def clamp(self, instances: int) -> int:
        return min(max(instances, self.least), self.most)


@dataclass(frozen=True, slots=True)
class ScheduledAction:
    name: str
    schedule: str
    at: float
    bounds: Mapping[str, int]


def read_bounds(asked: Mapping[str, Any], now: Bounds | None) -> Bounds:
    """What `MinCapacity` and `MaxCapacity` say; what is left out stays. Raises ScalingError."""
    least = asked.get("MinCapacity", now.least if now else None)
    most = asked.get("MaxCapacity", now.most if now else None)
    if not isinstance(least, int) or not isinstance(most, int):
        raise ScalingError("A new scalable target needs MinCapacity and MaxCapacity.")
    if not 0 <= least <= most:
        raise ScalingError(f"Maximum capacity {most} cannot be less than minimum capacity {least}.")
    return Bounds(least, most)


def read_action(asked: Mapping[str, Any], now: Bounds) -> ScheduledAction:
    schedule = asked.get("Schedule", "")
    found = _AT.fullmatch(schedule)
    if found is None:
        raise ScalingError(f"The stand-in knows schedules of the form at(…), not {schedule!r}.")
    bounds = asked.get("ScalableTargetAction", {})
    read_bounds(bounds, now)
    at = datetime.fromisoformat(found[1]).replace(tzinfo=UTC).timestamp()
    return ScheduledAction(asked["ScheduledActionName"], schedule, at, bounds)


class ScalableTarget:
    """One variant's. `bound` is called with every new bound."""

    def __init__(self, bounds: Bounds, bound: Callable[[Bounds], None]) -> None:
        self.bounds = bounds
        self.actions: dict[str, ScheduledAction] = {}
        self._bound = bound

    def register(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self._bound(bounds)

    def put(self, action: ScheduledAction) -> None:
        self.actions[action.name] = action

    def act(self, now: float) -> None:
        """Scheduled actions whose time has come, each once."""
        for action in sorted(self.actions.values(), key=lambda each: each.at):
            if action.at <= now:
                del self.actions[action.name]
                self.register(read_bounds(action.bounds, self.bounds))


class ScalingApi:
    """The calls of one region, by their names. `find` gives an endpoint's target by the endpoint's and the variant's
    name, and raises ScalingError."""

    def __init__(self, region: str, find: Callable[[str, str], ScalableTarget]) -> None:
        self._region = region
        self._find = find
        self.operations: Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "RegisterScalableTarget": self._register,
            "DescribeScalableTargets": self._describe,
            "PutScheduledAction": self._put,
            "DescribeScheduledActions": self._describe_actions,
        }

    def _register(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        target = self._target(asked)
        target.register(read_bounds(asked, target.bounds))
        account = PSEUDO_PARAMETERS["AWS::AccountId"]
        arn = f"arn:aws:application-autoscaling:{self._region}:{account}:scalable-target/local"
        return {"ScalableTargetARN": arn}

    def _describe(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        targets = []
        for resource in asked.get("ResourceIds", ()):
            target = self._target({**asked, "ResourceId": resource})
            targets.append(
                {
                    "ServiceNamespace": "sagemaker", "ResourceId": resource,
                    "ScalableDimension": DIMENSION, "MinCapacity": target.bounds.least,
                    "MaxCapacity": target.bounds.most, "RoleARN": "local", "CreationTime": 0,
                }
            )  # fmt: skip
        return {"ScalableTargets": targets}

    def _put(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        target = self._target(asked)
        target.put(read_action(asked, target.bounds))
        return {}

    def _describe_actions(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "ScheduledActions": [
                {
                    "ScheduledActionName": each.name, "ScheduledActionARN": each.name,
                    "ServiceNamespace": "sagemaker", "ResourceId": asked["ResourceId"],
                    "ScalableDimension": DIMENSION, "Schedule": each.schedule,
                    "ScalableTargetAction": dict(each.bounds), "CreationTime": 0,
                }
                for each in self._target(asked).actions.values()
            ]
        }  # fmt: skip

    def _target(self, asked: Mapping[str, Any]) -> ScalableTarget:
        if asked.get("ServiceNamespace") != "sagemaker":
            raise ScalingError("The stand-in scales the namespace sagemaker alone.")
        if asked.get("ScalableDimension", DIMENSION) != DIMENSION:
            raise ScalingError(f"The stand-in scales {DIMENSION} alone.")
        found = _RESOURCE.fullmatch(asked.get("ResourceId", ""))
        if found is None:
            raise ScalingError(f"{asked.get('ResourceId')!r} is no endpoint/…/variant/….")
        return self._find(found[1], found[2])
