"""What keeps a model of the catalogue from being deployed, said at synthesis rather than by SageMaker."""

from __future__ import annotations

from infra.weights import S3_SCHEME
from offpeak.core.catalogue import Model

INSTANCE_TYPES_MAX = 5  # that one variant takes
ENDPOINT_NAME_CHARS_MAX = 63


class UnfitModel(ValueError):
    """The catalogue's model can't be deployed as it stands; the message says why."""


def check_endpoint(model: Model, endpoint_name: str) -> None:
    """Raises UnfitModel for an endpoint that SageMaker would not make."""
    if len(endpoint_name) > ENDPOINT_NAME_CHARS_MAX:
        raise UnfitModel(
            f"models.toml: model {model.id!r}: the endpoint's name {endpoint_name!r} is over "
            f"{ENDPOINT_NAME_CHARS_MAX} characters; shorten its pool."
        )
    if not 1 <= len(model.instance_types) <= INSTANCE_TYPES_MAX:
        raise UnfitModel(
            f"models.toml: model {model.id!r}: give 1 to {INSTANCE_TYPES_MAX} instance_types "
            f"(it has {len(model.instance_types)})."
        )


def check_reach(model: Model) -> None:
    """Raises UnfitModel for weights that can't be had without the internet."""
    if not model.source.startswith(S3_SCHEME):
        raise UnfitModel(
            f"models.toml: model {model.id!r}: in a private_network nothing can be loaded from the hub. Copy the "
            "weights with `offpeak models stage` and give the s3:// address that it prints as source."
        )
