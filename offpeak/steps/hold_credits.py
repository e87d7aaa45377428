"""What an account needs before work is taken from it: a minimum balance, and for a batch its estimate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from offpeak.core.account import Account, Billing
from offpeak.core.errors import InsufficientCredits
from offpeak.core.ledger import EVER, MINIMUM_BALANCE_MICRODOLLARS, Balance, Entry, dollars, hold
from offpeak.core.ports import Ledger
from offpeak.core.pricing import cost_microdollars
from offpeak.core.run import Run
from offpeak.planner.estimate_usage import (
    Ratio,
    Work,
    estimate_usage,
    ratios_of,
)

SETTLEMENTS_MAX = 200
"""How many of an account's latest entries its ratios are measured by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """What is set aside for a batch: the entry, none where that is nothing, and the balance it is written on."""

    balance: Balance
    entries: Sequence[Entry]
    microdollars: int


def check_credits(account: Account, ledger: Ledger) -> None:
    """Raises InsufficientCredits for an account that may not ask for work now."""
    if account.billing is Billing.ENFORCE:
        check_balance(ledger.balance(account.id))


def check_balance(balance: Balance) -> None:
    if balance.microdollars < MINIMUM_BALANCE_MICRODOLLARS:
        held = balance.held_microdollars
        apart = f", and {dollars(held)} are held for batches that run" if held else ""
        raise InsufficientCredits(
            f"This account has {dollars(balance.microdollars)} in credits{apart}; work is taken from "
            f"{dollars(MINIMUM_BALANCE_MICRODOLLARS)} on. Ask the operators of this service to add credits."
        )


def hold_credits(account: Account, batch_id: str, estimate: int, now: int, ledger: Ledger) -> Hold:
    """Raises InsufficientCredits when the account can't bear the estimate. What costs nothing holds nothing."""
    balance = ledger.balance(account.id)
    if account.billing is not Billing.ENFORCE or not estimate:
        return Hold(balance=balance, entries=(), microdollars=0)
    check_balance(balance)
    if estimate > balance.microdollars:
        raise InsufficientCredits(
            f"This batch is estimated to cost {dollars(estimate)}; {dollars(balance.microdollars)} of this account's "
            "credits are free. Add credits, split the file, or give the requests a lower 'max_tokens'."
        )
    entry = hold(account.id, batch_id, estimate, now)
    return Hold(balance=balance, entries=[entry], microdollars=estimate)


def estimate_cost(account: Account, runs: Sequence[Run], ledger: Ledger) -> int:
    """What a batch of these runs is expected to cost, in micro-dollars. Nothing where nothing is enforced."""
    if account.billing is not Billing.ENFORCE:
        return 0
    settled = ledger.entries(
        account.id, start=0, stop=EVER, limit=SETTLEMENTS_MAX, after=None, ascending=False
    ).rows
    return sum(_run_estimate(run, ratios_of(run.model, settled).expected) for run in runs)


def _run_estimate(run: Run, ratio: Ratio) -> int:
    if run.prices is None:
        return 0
    work = Work(
        lines=run.lines, input_bytes=run.input_bytes, completion_tokens=run.completion_tokens
    )
    return cost_microdollars(run.prices, estimate_usage(work, ratio))
