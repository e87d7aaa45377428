"""A synthesised cloud assembly (`cdk.out`): its stacks in the order of their dependencies, and the assets of each."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

UNKNOWN_REGION = "unknown-region"
"""What CDK writes for a stack that names none."""


@dataclass(frozen=True, slots=True)
class FileAsset:
    """A file or a folder (`zipped`) that deployment uploads to `bucket`/`key`. Both may name pseudo parameters."""

    path: Path
    zipped: bool
    bucket: str
    key: str


@dataclass(frozen=True, slots=True)
class Stack:
    """A template to be deployed under `name`, after its assets; `region` is the one it names, None for wherever the
    credentials lead."""

    name: str
    template: Mapping[str, Any]
    assets: tuple[FileAsset, ...] = ()
    region: str | None = None


def read_assembly(folder: Path) -> Sequence[Stack]:
    """The stacks of `folder`/manifest.json, each after those it depends on."""
    artifacts = json.loads((folder / "manifest.json").read_text())["artifacts"]
    order = TopologicalSorter(
        {
            name: [d for d in artifact.get("dependencies", []) if d in artifacts]
            for name, artifact in artifacts.items()
        }
    )
    return [
        _stack(folder, name, artifacts)
        for name in order.static_order()
        if artifacts[name]["type"] == "aws:cloudformation:stack"
    ]


def only(stack: Stack, types: str) -> Stack:
    """`stack` with nothing but its resources whose type begins with `types`."""
    resources = {
        logical_id: resource
        for logical_id, resource in stack.template["Resources"].items()
        if resource["Type"].startswith(types)
    }
    return replace(stack, template={"Resources": resources}, assets=())


def with_caller_names(stack: Stack, url: str) -> Stack:
    """`stack` with functions that speak to AWS at `url`, each giving its folder's name as the SDK's application id."""
    resources = {
        logical_id: _speaking(resource, url)
        if resource["Type"] == "AWS::Lambda::Function"
        else resource
        for logical_id, resource in stack.template["Resources"].items()
    }
    return replace(stack, template={**stack.template, "Resources": resources})


def _speaking(function: Mapping[str, Any], url: str) -> Mapping[str, Any]:
    properties = function["Properties"]
    folder = properties["Handler"].split(".")[1]
    variables = {
        **properties.get("Environment", {}).get("Variables", {}),
        "AWS_ENDPOINT_URL": url,
        "AWS_SDK_UA_APP_ID": folder,
    }
    return {**function, "Properties": {**properties, "Environment": {"Variables": variables}}}


def _stack(folder: Path, name: str, artifacts: Mapping[str, Any]) -> Stack:
    properties = artifacts[name]["properties"]
    region = artifacts[name]["environment"].rsplit("/", 1)[-1]  # aws://account/region
    template_file = properties["templateFile"]
    manifests = (
        json.loads((folder / artifacts[dependency]["properties"]["file"]).read_text())
        for dependency in artifacts[name].get("dependencies", [])
        if artifacts[dependency]["type"] == "cdk:asset-manifest"
    )
    return Stack(
        name=properties.get("stackName", name),
        region=None if region == UNKNOWN_REGION else region,
        template=json.loads((folder / template_file).read_text()),
        assets=tuple(
            asset
            for manifest in manifests
            for asset in _assets(folder, manifest)
            if asset.path.name != template_file
        ),
    )


def _assets(folder: Path, manifest: Mapping[str, Any]) -> Iterator[FileAsset]:
    for asset in manifest.get("files", {}).values():
        source = asset["source"]
        for destination in asset["destinations"].values():
            yield FileAsset(
                path=folder / source["path"],
                zipped=source["packaging"] == "zip",
                bucket=destination["bucketName"],
                key=destination["objectKey"],
            )
