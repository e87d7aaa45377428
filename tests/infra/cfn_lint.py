"""cfn-lint over a template that is at hand as a value."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from cfnlint.api import lint  # type: ignore[import-untyped]
from cfnlint.config import ManualArgs  # type: ignore[import-untyped]


def find_faults(template: Mapping[str, Any], *, ignore: Sequence[str] = ()) -> list[str]:
    """Errors and warnings as `RULE message`."""
    config = ManualArgs(regions=["us-east-1"], ignore_checks=list(ignore))
    return [
        f"{match.rule.id} {match.message}" for match in lint(json.dumps(template), config=config)
    ]
