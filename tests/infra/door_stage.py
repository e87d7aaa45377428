"""A production stage with a door: what `stages.toml` has as a comment."""

from __future__ import annotations

from dataclasses import replace

from tests.infra.synthesised import STAGES

DOOR_STAGE = replace(
    STAGES["prod"],
    door=True,
    domain_name="batches.example.com",
    certificate_arn="arn:aws:acm:us-east-1:123456789012:certificate/0f",
)
