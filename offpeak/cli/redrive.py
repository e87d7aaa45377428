"""`offpeak redrive`: an operator's look at what functions gave up, and its way back."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Annotated

import typer

from offpeak.cli.deployment import Stage, deployment
from offpeak.cli.show import AsJson, say, show_json, show_rows, time_text
from offpeak.cli.words import checked
from offpeak.core.dead_letter import LetterSummary
from offpeak.steps.redrive_letters import Given, check_queue, redrive_letters, show_letters


def redrive(
    queue: Annotated[
        str | None, typer.Argument(metavar="QUEUE", help="Only this one: shard-ended, say.")
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Give the records back to their functions.")
    ] = False,
    as_json: AsJson = False,
    stage: Stage = "dev",
) -> None:
    """Show what functions gave up, in the dead-letter queues; with --yes give it back to them.

    Mend the cause first (docs/runbook.md, dead-letters): what fails again comes back. A record may be handled twice
    without harm. Nothing of a record is shown but ids.
    """
    if queue is not None:
        with checked():
            check_queue(queue)
    with deployment(stage) as aws:
        found = show_letters(queue, dead_letters=aws.dead_letters)
        waiting = [given for given in found if given.queue.letters]
        _show(waiting, int(aws.clock.now()), as_json=as_json)
        for given in waiting if yes else ():
            aws.changes.record(given.queue.name)
            moved = redrive_letters(given.queue, dead_letters=aws.dead_letters)
            told = "SQS is moving them" if moved is None else f"{moved} moved"
            say(f"{given.queue.name} → {given.queue.reader}: {told}.")
    if not waiting:
        say("Nothing was given up.")
    elif not yes:
        say("Nothing was moved. Once the cause is mended: offpeak redrive --yes")


def _show(waiting: Sequence[Given], now: int, *, as_json: bool) -> None:
    if as_json:
        show_json([_as_json(given) for given in waiting])
        return
    show_rows(
        ("queue", "function", "records", "oldest", "for example"),
        (
            (
                given.queue.name, given.queue.reader, str(given.queue.letters),
                _age_text(given.oldest_sent_at, now), _names_text(given.sample),
            )
            for given in waiting
        ),
    )  # fmt: skip


def _as_json(given: Given) -> dict[str, object]:
    return {
        "queue": given.queue.name,
        "function": given.queue.reader,
        "records": given.queue.letters,
        "oldest_sent_at": given.oldest_sent_at,
        "sample": [
            {"message_id": each.id, "sent_at": each.sent_at, **each.names} for each in given.sample
        ],
    }


def _age_text(sent_at: int | None, now: int) -> str:
    """Of the oldest that was seen."""
    if sent_at is None:
        return ""
    return f"{time_text(sent_at)} ({timedelta(seconds=max(0, now - sent_at))} ago)"


def _names_text(sample: Sequence[LetterSummary]) -> str:
    if not sample:
        return ""
    return " ".join(f"{name}={value}" for name, value in sample[0].names.items()) or sample[0].id
