"""Makes an API key, and the account it belongs to when asked. The secret is in the answer and nowhere else."""

from __future__ import annotations

from dataclasses import dataclass

from offpeak.core.account import Account, ApiKey, Scope, new_secret
from offpeak.core.errors import InvalidRequest, NotFound
from offpeak.core.ids import ACCOUNT, KEY, new_id
from offpeak.core.ports import Accounts, Add, Changes, Clock, KeyHashes

NAME_CHARACTERS_MAX = 64
LIFETIME_SECONDS_MAX = 10 * 366 * 86_400


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
    scope: Scope = Scope.ADMIN,
    expires_after: int | None = None,
    requests_per_second: int | None = None,
    clock: Clock,
    accounts: Accounts,
    changes: Changes,
    key_hashes: KeyHashes,
) -> CreatedKey:
    """A new key called `name` for the account of this name or id, made first if it isn't there and `make_account`. It
    is good for `expires_after` seconds; None is until it is revoked. `requests_per_second` is a limit of its own.

    Raises NotFound for an unknown account, InvalidRequest for a name that several accounts bear or that is too long.
    """
    check_key(account, name, expires_after, requests_per_second)
    now = clock.now()
    owner = find_account(account, accounts)
    if owner is None and not make_account:
        raise NotFound(
            f"There is no account {account!r}.", param="account", code="account_not_found"
        )
    new_owner = Account(id=new_id(ACCOUNT, now), name=account, created_at=int(now))
    made, secret = make_key(
        (owner or new_owner).id, name, scope=scope, expires_after=expires_after,
        requests_per_second=requests_per_second, now=now, key_hashes=key_hashes,
    )  # fmt: skip
    if owner is None:
        changes.commit(Add(new_owner), Add(made))
    else:
        changes.commit(Add(made))
    return CreatedKey(account=owner or new_owner, key=made, secret=secret)


def check_key(
    account: str, name: str, expires_after: int | None, requests_per_second: int | None
) -> None:
    """Raises InvalidRequest for a name that is too long, for a life that is, and for a limit that lets nothing pass."""
    _check_name(account, "account")
    _check_name(name, "name")
    if expires_after is not None and not 0 < expires_after <= LIFETIME_SECONDS_MAX:
        raise InvalidRequest("A key is good for a second to ten years.", param="expires")
    if requests_per_second is not None and requests_per_second < 1:
        raise InvalidRequest("A key may send one request a second at least.", param="rate")


def make_key(
    account_id: str, name: str, *, scope: Scope, expires_after: int | None,
    requests_per_second: int | None, now: float, key_hashes: KeyHashes,
) -> tuple[ApiKey, str]:  # fmt: skip
    """A new key, which no table has yet, and its secret."""
    secret = new_secret()
    key = ApiKey(
        hash=key_hashes.hash_key(secret),
        id=new_id(KEY, now),
        account_id=account_id,
        name=name,
        last4=secret[-4:],
        created_at=int(now),
        expires_at=None if expires_after is None else int(now) + expires_after,
        scope=scope,
        requests_per_second=requests_per_second,
    )
    return key, secret


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
