"""Changes where the request lines of an account may be worked. They are kept in the home region alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from offpeak.core.account import REGIONS_MAX, Account
from offpeak.core.catalogue import REGION_NAME
from offpeak.core.errors import InvalidRequest
from offpeak.core.ports import Accounts, Changes
from offpeak.steps.change_account import change_account


def set_regions(
    account_id: str, regions: Sequence[str] | None, *, accounts: Accounts, changes: Changes
) -> Account:
    """The account as it is then. `regions` beside the home region; None is every one that a model has a pool in. Shards
    that were dispatched elsewhere before end there. Raises NotFound, and InvalidRequest for what is no region."""
    check_regions(regions or ())
    allowed = None if regions is None else tuple(sorted(set(regions)))
    return change_account(
        account_id, lambda account: replace(account, regions=allowed),
        accounts=accounts, changes=changes,
    )  # fmt: skip


def check_regions(regions: Sequence[str]) -> None:
    """Raises InvalidRequest for what is no region, and for too many of them."""
    wrong = [each for each in regions if not re.fullmatch(REGION_NAME, each)]
    if wrong:
        raise InvalidRequest(f"{wrong[0]!r} is no region, as eu-north-1 is.")
    if len(regions) > REGIONS_MAX:
        raise InvalidRequest(f"An account has at most {REGIONS_MAX} regions, not {len(regions)}.")
