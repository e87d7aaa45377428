"""The model of a request that names none: its account's, or the only one there is."""

from __future__ import annotations

from offpeak.core.account import Account
from offpeak.core.catalogue import Catalogue
from offpeak.core.errors import InvalidRequest


def choose_model(account: Account, endpoint: str, catalogue: Catalogue, *, param: str) -> str:
    """Its name. Raises InvalidRequest, on the field `param` that could have named it."""
    if account.default_model is not None:
        return account.default_model
    serving = [model.id for model in catalogue.served if endpoint in model.endpoints]
    if len(serving) == 1:
        return serving[0]
    raise InvalidRequest(
        f"The request names no model, and this account has no default one. Name one in '{param}' (GET /v1/models lists "
        "them), or have an operator set the account's: offpeak accounts model ACCOUNT MODEL.",
        param=param, code="model_required",
    )  # fmt: skip
