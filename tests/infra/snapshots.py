"""The templates of every stage as files that a reviewer can read in a diff. `make snapshots` writes them anew.

    python -m tests.infra.snapshots [FOLDER]

One file a stack, in YAML, without what changes by itself: hashes of assets. A few inference stacks stand for all.
With the default folder it also writes what each role may do, docs/rights.md, and the tables of what an idle stage and
its door cost, in docs/deploy.md and docs/door.md.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from app import ROOT
from infra.bundles import Bundles
from infra.stage import Stage
from offpeak.core.catalogue import Catalogue, parse_catalogue
from tests.infra import door_cost, role_rights
from tests.infra.door_stage import DOOR_STAGE
from tests.infra.hardened_stage import HARDENED_STAGE, with_staged_weights
from tests.infra.idle_cost import put_into
from tests.infra.synthesised import STAGES, Synthesised, synthesise

FOLDER = ROOT / "tests/infra/templates"
DEPLOY_GUIDE = ROOT / "docs/deploy.md"
DOOR_GUIDE = ROOT / "docs/door.md"
RIGHTS = ROOT / "docs/rights.md"
SNAPSHOTS: Mapping[str, Stage] = {
    **STAGES,
    "prod-with-door": DOOR_STAGE,
    "prod-hardened": HARDENED_STAGE,
}
# Where prod has a door, or is hardened, this much of it is another.
PARTS: Mapping[str, frozenset[str]] = {
    "prod-with-door": frozenset({"api", "door"}),
    "prod-hardened": frozenset({"waf", "network", "inference-phi-4"}),
}
# One GPU; several, with tensor parallelism; embeddings.
POOLS = ("phi-4", "llama-3-3-70b-instruct", "qwen3-embedding-0-6b")
_HASH = re.compile(r"\b[0-9a-f]{64}\b")


class _Plain(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


def make_snapshots(stages: Mapping[str, Synthesised]) -> Mapping[str, str]:
    """File name → text, for every stage and stack."""
    return {
        f"{name}/{part}.yaml": text
        for name, stage in stages.items()
        for part, text in render_stage(name, stage).items()
    }


def synthesise_stage(name: str, bundles: Bundles) -> Synthesised:
    stage = SNAPSHOTS[name]
    models = with_staged_weights(representative()) if stage.private_network else representative()
    return synthesise(stage, bundles, models)


def render_stage(name: str, stage: Synthesised) -> Mapping[str, str]:
    return {
        part: render(template.to_json())
        for part, template in stage.templates.items()
        if part in PARTS.get(name, stage.templates)
    }


def render_rights(hardened: Synthesised) -> str:
    """The roles of a hardened stage, one pool's for all pools', as docs/rights.md has them."""
    one = f"inference-{POOLS[0]}"
    return role_rights.render(
        [
            right
            for right in role_rights.rights(hardened)
            if right.part == one or not right.part.startswith("inference-")
        ]
    )


def representative() -> Catalogue:
    """The few models that stand for all. Raises LookupError when one of them has left the catalogue."""
    models = {m.pool: m for m in parse_catalogue((ROOT / "models.toml").read_text()).models}
    if missing := sorted(set(POOLS) - set(models)):
        raise LookupError(
            f"models.toml has no pool {', '.join(missing)}; name another in {__file__}."
        )
    return Catalogue(tuple(models[pool] for pool in POOLS))


def render(template: Mapping[str, Any]) -> str:
    text = yaml.dump(dict(template), Dumper=_Plain, sort_keys=True, width=120, allow_unicode=True)
    return _HASH.sub("<asset>", text)


def empty_bundles(folder: Path) -> Bundles:
    """As good as empty: what is in them is not a template's affair."""
    files = {
        "code": "offpeak/__init__.py",
        "layer": "python/some_dependency.py",
        "tokenizers": "python/tokenizers.py",
        "container": "containers/vllm/Dockerfile",
        "door": "containers/door/Dockerfile",
    }
    for kind, name in files.items():
        path = folder / kind / name
        path.parent.mkdir(parents=True)
        path.touch()
    return Bundles(**{kind: folder / kind for kind in files})


def write(folder: Path, stages: Mapping[str, Synthesised]) -> None:
    made = make_snapshots(stages)
    for old in folder.rglob("*.yaml"):
        if old.relative_to(folder).as_posix() not in made:
            old.unlink()
    for name, text in made.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def main() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        bundles = empty_bundles(Path(scratch))
        stages = {name: synthesise_stage(name, bundles) for name in SNAPSHOTS}
        if len(sys.argv) > 1:
            write(Path(sys.argv[1]), stages)
            return
        write(FOLDER, stages)
        RIGHTS.write_text(render_rights(stages["prod-hardened"]))
        DEPLOY_GUIDE.write_text(put_into(DEPLOY_GUIDE.read_text(), bundles, representative()))
        DOOR_GUIDE.write_text(door_cost.put_into(DOOR_GUIDE.read_text(), bundles, representative()))


if __name__ == "__main__":
    main()
