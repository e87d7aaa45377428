"""A stage's stacks and their templates, as tests ask for them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from aws_cdk import App, Stack
from aws_cdk.assertions import Template

from app import ROOT, add_stacks
from infra.bundles import Bundles
from infra.stage import Stage
from infra.stages_file import parse_stages
from offpeak.core.catalogue import Catalogue

CONTEXT: Mapping[str, Any] = json.loads((ROOT / "cdk.json").read_text())["context"]
STAGES = parse_stages((ROOT / "stages.toml").read_text())


@dataclass(frozen=True)
class Synthesised:
    """One stage's stacks: their templates by the name's last part (`storage`, `lifecycle`, `api`, `inference-…`)."""

    stage: Stage
    app: App
    templates: Mapping[str, Template]

    def json(self, part: str) -> Mapping[str, Any]:
        """Fetched from the CDK's process once: it comes through a pipe, and rights ask for it often."""
        if part not in self._fetched:
            self._fetched[part] = self.templates[part].to_json()
        return self._fetched[part]

    @cached_property
    def _fetched(self) -> dict[str, Mapping[str, Any]]:
        return {}

    @property
    def inference(self) -> Mapping[str, Template]:
        return {k: v for k, v in self.templates.items() if k.startswith("inference-")}


def synthesise(
    stage: str | Stage, bundles: Bundles, catalogue: Catalogue, **settings: Any
) -> Synthesised:
    """`settings` are further ones of `add_stacks`."""
    app = App(context=dict(CONTEXT))
    chosen = STAGES[stage] if isinstance(stage, str) else stage
    add_stacks(app, stage=chosen, models=catalogue.models, bundles=bundles, **settings)
    stacks = [child for child in app.node.children if isinstance(child, Stack)]
    prefix = chosen.named("")
    return Synthesised(
        chosen, app, {s.stack_name.removeprefix(prefix): Template.from_stack(s) for s in stacks}
    )
