"""Amounts as people read them; the rest of the ledger is tested where it is written."""

import pytest

from offpeak.core.ledger import Balance, dollars, hold, release


@pytest.mark.parametrize(
    ("microdollars", "text"),
    [
        (0, "$0.00"),
        (200_000, "$0.20"),
        (1_234_567_000_000, "$1,234,567.00"),
        (123, "$0.000123"),
        (-1_500_000, "-$1.50"),
        (-1, "-$0.000001"),
        (999_999, "$0.999999"),
    ],
)
def test_amounts_are_exact_and_have_cents(microdollars: int, text: str) -> None:
    assert dollars(microdollars) == text


def test_what_is_held_is_off_the_balance_until_it_is_released() -> None:
    held = Balance(account_id="a", microdollars=100).posted(hold("a", "batch_1", 30, 0))
    assert (held.microdollars, held.held_microdollars) == (70, 30)
    free = held.posted(release("a", "batch_1", 30, 1))
    assert (free.microdollars, free.held_microdollars) == (100, 0)
