"""A production stage with all that can be set for its safety, and a catalogue that it takes: weights in S3."""

from __future__ import annotations

from dataclasses import replace

from offpeak.core.catalogue import Catalogue
from tests.infra.door_stage import DOOR_STAGE

HARDENED_STAGE = replace(DOOR_STAGE, waf=True, private_network=True)


def with_staged_weights(catalogue: Catalogue) -> Catalogue:
    """As `offpeak models stage` leaves them."""
    return Catalogue(
        tuple(
            replace(model, source=f"s3://offpeak-models/{model.pool}/weights")
            for model in catalogue.models
        )
    )
