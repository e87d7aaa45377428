"""Makes an API key, and the account it belongs to when asked. The secret is in the answer and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from offpeak.core.account import Account, ApiKey, hash_secret, new_secret
from offpeak.core.errors import InvalidRequest, NotFound
from offpeak.core.ids import ACCOUNT, KEY, new_id
from offpeak.core.ports import Accounts, Add, Changes, Clock

NAME_CHARACTERS_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class CreatedKey:
    account: Account
    key: ApiKey
    secret: str


def create_key(
    account: str,
    name: str,
    *,
    make_account: bool,
    clock: Clock,
    accounts: Accounts,
    changes: Changes,
) -> CreatedKey:
    """A new key called `name` for the account of this name or id, made first if it isn't there and `make_account`.

    Raises NotFound for an unknown account, InvalidRequest for a name that several accounts bear or that is too long.
    """
    _check_name(account, "account")
    _check_name(name, "name")
    now = clock.now()
    owner = find_account(account, accounts)
    if owner is None and not make_account:
        raise NotFound(
            f"There is no account {account!r}.", param="account", code="account_not_found"
        )
    secret = new_secret()
    new_owner = Account(id=new_id(ACCOUNT, now), name=account, created_at=int(now))
    key = ApiKey(
        hash=hash_secret(secret),
        id=new_id(KEY, now),
        account_id=(owner or new_owner).id,
        name=name,
        last4=secret[-4:],
        created_at=int(now),
    )
    if owner is None:
        changes.commit(Add(new_owner), Add(key))
    else:
        changes.commit(Add(key))
    return CreatedKey(account=owner or new_owner, key=key, secret=secret)


def find_account(name_or_id: str, accounts: Accounts) -> Account | None:
    """The account of this id or name. Raises InvalidRequest when several bear the name."""
    found = [account for account in accounts.list() if name_or_id in (account.id, account.name)]
    if len(found) > 1:
        ids = ", ".join(account.id for account in found)
        raise InvalidRequest(
            f"Several accounts are called {name_or_id!r}: {ids}. Name one by its id."
        )
    return found[0] if found else None


def _check_name(text: str, param: str) -> None:
    if not 0 < len(text) <= NAME_CHARACTERS_MAX or not text.isprintable():
        raise InvalidRequest(
            f"{param} must be 1 to {NAME_CHARACTERS_MAX} printable characters.", param=param
        )
