"""What each alarm means and what to do first: its description, and the beginning of its section in docs/runbook.md."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """`means` is what has happened, `first` what to do before anything else."""

    means: str
    first: str


KINDS: Mapping[str, Kind] = {
    "shards-late": Kind(
        means="The most urgent shard that waits in this pool has less time left than slack_seconds_min.",
        first="See whether the pool has instances, and why it got no more of them.",
    ),
    "batches-at-risk": Kind(
        means="Batches with work in this pool are expected to miss their deadlines.",
        first="See whether the pool has all instances that it may have; raise instances_max if it has.",
    ),
    "shards-failed": Kind(
        means="Attempts at shards of this pool fail, again and again.",
        first="Read the endpoint's log for the engine's error.",
    ),
    "executions-failed": Kind(
        means="An execution of process_batch has failed for good: its batch stands still.",
        first="Open the execution and read which state failed; sweep redrives it after 15 minutes.",
    ),
    "batches-failed-by-us": Kind(
        means="Batches were failed because of a fault of ours, before any line ran.",
        first="Read the log of validate_range and of plan_shards at that time.",
    ),
    "dead-letters": Kind(
        means="A record was given up after five receives and lies in the dead-letter queue.",
        first="Read the error in the log of the function that reads the queue; then run offpeak redrive.",
    ),
    "api-errors": Kind(
        means="The API answers with 5xx.",
        first="Read the log of the function api for the last exception.",
    ),
    "function-errors": Kind(
        means="A function ends in errors, tries included.",
        first="Read the function's log for the last exception.",
    ),
    "functions-throttled": Kind(
        means="Lambda refuses calls: the account's concurrency is used up.",
        first="See which function takes it, ours or another's, and ask for a higher quota.",
    ),
    "clock-stopped": Kind(
        means="A function that a clock calls has not run for three of its times.",
        first="See whether its EventBridge rule is enabled.",
    ),
    "plan-stale": Kind(
        means="A model's plan was not renewed for 15 minutes: its pools go by their work alone, at home, at any hour.",
        first="Read the log of the function plan_capacity for the last exception.",
    ),
    "door-down": Kind(
        means="No task of the door has run for five minutes: files can't be sent to domain_name.",
        first="Read the service's events: which task could not start, and why.",
    ),
    "door-errors": Kind(
        means="The door answers with 5xx, or its load balancer does for want of a task that answers.",
        first="Read the door's log for the last exception; where api-errors rings too, that comes first.",
    ),
    "gpu-hours": Kind(
        means="This pool has used more instance hours in a day than gpu_hours_per_day_max.",
        first="Compare its instances with its waiting shards; lower instances_max if there is no work.",
    ),
}
