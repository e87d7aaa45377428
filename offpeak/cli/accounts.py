"""`offpeak accounts …`: an operator's commands, with AWS credentials straight on the accounts table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

import typer

from offpeak.cli.deployment import Stage, deployment, named_account
from offpeak.cli.errors import UsageError
from offpeak.cli.show import say, show_rows
from offpeak.cli.words import check_region, checked
from offpeak.core.account import PRESETS, RETENTION_DAYS_MAX, WEIGHT_MAX, Account, Limits
from offpeak.core.schedule import Schedule
from offpeak.core.window import parse_window
from offpeak.steps.erase_account import erase_account
from offpeak.steps.set_default_model import set_default_model
from offpeak.steps.set_limits import set_limits
from offpeak.steps.set_regions import check_regions, set_regions
from offpeak.steps.set_retention import set_retention
from offpeak.steps.set_schedule import set_schedule
from offpeak.steps.set_weight import set_weight

UNLIMITED = "none"
NAME_CHARACTERS_MAX = 128
app = typer.Typer(
    no_args_is_help=True,
    help="Accounts, their limits and default models, for operators with AWS credentials.",
)


@app.command("list")
def list_accounts(stage: Stage = "dev") -> None:
    """List accounts and what each may ask for."""
    with deployment(stage, "accounts") as aws:
        _show(*aws.accounts.list())


@app.command()
def limits(
    account: Annotated[str, typer.Argument(metavar="NAME|ID", help="Whose.")],
    preset: Annotated[
        str | None, typer.Option(help=f"Begin with the limits of {', '.join(PRESETS)}.")
    ] = None,
    file_bytes: Annotated[int | None, typer.Option(min=1, help="Bytes a file.")] = None,
    request_lines: Annotated[int | None, typer.Option(min=1, help="Request lines a batch.")] = None,
    open_batches: Annotated[
        int | None, typer.Option(min=0, help="Batches that have not ended.")
    ] = None,
    enqueued_tokens: Annotated[
        str | None,
        typer.Option(
            metavar=f"N|{UNLIMITED}", help="Tokens of open batches, per model; estimated."
        ),
    ] = None,
    requests_per_second: Annotated[
        int | None,
        typer.Option(min=1, max=100_000, help="HTTP requests of all its keys."),
    ] = None,
    stage: Stage = "dev",
) -> None:
    """Show an account's limits, or change them: all by a preset, or one by one."""

    def change(old: Limits) -> Limits:
        new = old if preset is None else PRESETS[preset]
        if file_bytes is not None:
            new = replace(new, file_bytes_max=file_bytes)
        if request_lines is not None:
            new = replace(new, request_lines_max=request_lines)
        if open_batches is not None:
            new = replace(new, open_batches_max=open_batches)
        if enqueued_tokens is not None:
            new = replace(new, enqueued_tokens_max=_tokens(enqueued_tokens))
        if requests_per_second is not None:
            new = replace(new, requests_per_second=requests_per_second)
        return new

    if preset is not None and preset not in PRESETS:
        raise UsageError(f"There is no preset {preset!r}; there are {', '.join(PRESETS)}.")
    change(Limits())  # whatever is wrong with the options, before anything is read
    with deployment(stage, "accounts") as aws:
        owner = named_account(aws, account)
        changed = set_limits(owner.id, change, accounts=aws.accounts, changes=aws.changes)
    if changed.limits != owner.limits:
        say(f"Changed the limits of {changed.name} ({changed.id}). They hold within 60 s.")
    _show(changed)


@app.command()
def weight(
    account: Annotated[str, typer.Argument(metavar="NAME|ID", help="Whose.")],
    weight: Annotated[
        int | None, typer.Argument(metavar=f"[1…{WEIGHT_MAX}]", min=1, max=WEIGHT_MAX)
    ] = None,
    stage: Stage = "dev",
) -> None:
    """Show or set the weight of an account: its share of busy pools, beside the others'."""
    with deployment(stage, "accounts") as aws:
        owner = named_account(aws, account)
        if weight is not None:
            owner = set_weight(owner.id, weight, accounts=aws.accounts, changes=aws.changes)
            say(f"Changed the weight of {owner.name} ({owner.id}). It holds within 60 s.")
    _show(owner)


@app.command()
def retention(
    account: Annotated[str, typer.Argument(metavar="NAME|ID", help="Whose.")],
    days: Annotated[
        int | None,
        typer.Argument(metavar=f"[1…{RETENTION_DAYS_MAX}]", min=1, max=RETENTION_DAYS_MAX),
    ] = None,
    stage: Stage = "dev",
) -> None:
    """Show or set for how many days files and results are kept that an account makes from now on."""
    with deployment(stage, "accounts") as aws:
        owner = named_account(aws, account)
        if days is not None:
            owner = set_retention(owner.id, days, accounts=aws.accounts, changes=aws.changes)
            say(f"Changed the retention of {owner.name} ({owner.id}). It holds within 60 s.")
    _show(owner)


@app.command()
def schedule(
    account: Annotated[str, typer.Argument(metavar="NAME|ID", help="Whose.")],
    schedule: Annotated[
        str | None,
        typer.Argument(metavar=f"[now|offpeak|{UNLIMITED}]", help="Of batches that don't say."),
    ] = None,
    window: Annotated[
        str | None,
        typer.Option(metavar=f"WINDOW|{UNLIMITED}", help="Their completion window: 1h … 7d."),
    ] = None,
    stage: Stage = "dev",
) -> None:
    """Show, set or clear when batches run, and in which window, that say nothing of it."""
    if schedule is not None and schedule not in (*Schedule, UNLIMITED):
        raise UsageError(f"{schedule!r} is none of {', '.join(Schedule)}, {UNLIMITED}.")
    if window not in (None, UNLIMITED):
        with checked():
            parse_window(window)
    with deployment(stage, "accounts") as aws:
        owner = named_account(aws, account)
        if schedule is not None or window is not None:
            chosen, its_window = owner.schedule, owner.completion_window
            if schedule is not None:
                chosen = None if schedule == UNLIMITED else Schedule(schedule)
            if window is not None:
                its_window = None if window == UNLIMITED else window
            owner = set_schedule(
                owner.id, chosen, its_window, accounts=aws.accounts, changes=aws.changes
            )
            say(f"Changed the schedule of {owner.name} ({owner.id}). It holds within 60 s.")
    print(f"schedule {owner.schedule or UNLIMITED}, window {owner.completion_window or UNLIMITED}")


@app.command()
def residency(
    account: Annotated[str, typer.Argument(metavar="NAME|ID", help="Whose.")],
    regions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[home|anywhere|REGION …]", help="Beside the home region."),
    ] = None,
    stage: Stage = "dev",
) -> None:
    """Show or set in which regions an account's request lines may be worked. They are kept at home alone."""
    allowed = _regions(regions or [])
    with deployment(stage, "accounts") as aws:
        owner = named_account(aws, account)
        if regions:
            owner = set_regions(owner.id, allowed, accounts=aws.accounts, changes=aws.changes)
            say(f"Changed the regions of {owner.name} ({owner.id}). It holds within 60 s.")
    print("anywhere" if owner.regions is None else " ".join(("home", *owner.regions)))


@app.command()
def erase(
    account: Annotated[str, typer.Argument(metavar="NAME|ID", help="Whose.")],
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    stage: Stage = "dev",
) -> None:
    """Revoke an account's keys and delete its files, results, drop folder and webhooks. There is no way back."""
    with deployment(stage, "accounts", "files", "batches", "webhooks") as aws:
        owner = named_account(aws, account)
        if not yes:
            typer.confirm(
                f"Erase all that {owner.name} ({owner.id}) has here?", abort=True, err=True
            )
        erased = erase_account(
            owner.id, clock=aws.clock, reader=aws.reader, writer=aws.writer,
            multipart=aws.multipart, changes=aws.changes, accounts=aws.accounts, files=aws.files,
            batches=aws.batches, webhooks=aws.webhooks,
        )  # fmt: skip
    say(
        f"Erased {erased.files:,} files, {erased.objects:,} objects and {erased.webhooks:,} webhooks of {owner.name} "
        f"({owner.id}), and revoked {erased.keys:,} keys. Stand-alone requests of the last 14 days go by themselves."
    )


@app.command()
def model(
    account: Annotated[str, typer.Argument(metavar="NAME|ID", help="Whose.")],
    model: Annotated[
        str | None,
        typer.Argument(
            metavar=f"[MODEL|{UNLIMITED}]", help="An id or an alias, as GET /v1/models lists them."
        ),
    ] = None,
    stage: Stage = "dev",
) -> None:
    """Show, set or clear the model of requests that name none, as Hive's may."""
    if model is not None and not (model.isprintable() and 0 < len(model) <= NAME_CHARACTERS_MAX):
        raise UsageError(f"A model's name has 1 to {NAME_CHARACTERS_MAX} printable characters.")
    with deployment(stage, "accounts") as aws:
        owner = named_account(aws, account)
        if model is not None:
            owner = set_default_model(
                owner.id, None if model == UNLIMITED else model, accounts=aws.accounts,
                changes=aws.changes,
            )  # fmt: skip
            say(f"Changed the default model of {owner.name} ({owner.id}). It holds within 60 s.")
    _show(owner)


def _regions(words: list[str]) -> Sequence[str] | None:
    """None is everywhere. Raises UsageError for what is no region."""
    if words == ["anywhere"]:
        return None
    regions = [] if words == ["home"] else words
    for each in regions:
        check_region(each)
    with checked():
        check_regions(regions)
    return regions


def _tokens(text: str) -> int | None:
    if text == UNLIMITED:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise UsageError(f"--enqueued-tokens takes a whole number or {UNLIMITED!r}, not {text!r}.")
    return int(text)


def _show(*accounts: Account) -> None:
    show_rows(
        (
            "account",
            "name",
            "file bytes",
            "request lines",
            "open batches",
            "enqueued tokens",
            "requests/s",
            "weight",
            "days kept",
            "default model",
        ),
        (
            (
                each.id, each.name, *_row(each.limits), str(each.weight),
                str(each.retention_days), each.default_model or UNLIMITED,
            )
            for each in accounts
        ),
    )  # fmt: skip


def _row(limits: Limits) -> tuple[str, ...]:
    tokens = limits.enqueued_tokens_max
    return (
        f"{limits.file_bytes_max:,}",
        f"{limits.request_lines_max:,}",
        f"{limits.open_batches_max:,}",
        UNLIMITED if tokens is None else f"{tokens:,}",
        f"{limits.requests_per_second:,}",
    )
