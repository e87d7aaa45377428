"""Images on real vLLM: a generated model with a vision tower, in the container and under vLLM's own server."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.containers.container import MODELS, Containers, answers
from tests.containers.vllm_serve import (
    ON_A_CPU,
    START_SECONDS,
    comparable,
    vllm_serve,
    vllm_settings,
)
from tests.worker.world import CHAT, chat

pytestmark = [pytest.mark.cloud, pytest.mark.vllm, pytest.mark.timeout(600)]
PATCHES = (56 // 14) ** 2
PIXELS = 32
RED, BLUE = (255, 0, 0), (0, 0, 255)


def png(colour: tuple[int, int, int]) -> str:
    """A data URL of a small square of one colour."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    rows = (b"\0" + bytes(colour) * PIXELS) * PIXELS
    header = struct.pack(">IIBBBBB", PIXELS, PIXELS, 8, 2, 0, 0, 0)
    image = (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )  # fmt: skip
    return "data:image/png;base64," + base64.b64encode(image).decode()


def looking(*colours: tuple[int, int, int]) -> dict[str, Any]:
    images = [{"type": "image_url", "image_url": {"url": png(colour)}} for colour in colours]
    text = {"type": "text", "text": "What do you see?"}
    return chat("", messages=[{"role": "user", "content": [*images, text]}], max_tokens=6,
                temperature=0, ignore_eos=True, logprobs=True)  # fmt: skip


def test_images_reach_the_model_and_answers_are_those_of_vllm_serve(
    containers: Containers, generated: Callable[..., Path], python: str, tmp_path: Path
) -> None:
    model = generated("--sees")
    arguments: Mapping[str, Any] = {**ON_A_CPU, "enable-prompt-tokens-details": True}
    settings = vllm_settings(model, arguments)
    (tmp_path / "models.toml").write_text(MODELS + 'modality = "vision"\n')
    environment = {**settings, "OFFPEAK_MODELS": str(tmp_path / "models.toml")}
    bodies = [looking(), looking(RED), looking(BLUE), looking(RED, BLUE)]
    with containers.running(environment, python, START_SECONDS) as container:
        # One shard each: what else runs in a step changes rounding.
        worlds = [containers.world(body) for body in bodies]
        lines = [answers(world, container.work(world))[0] for world in worlds]
    with vllm_serve(python, str(model), arguments, settings, tmp_path, START_SECONDS) as server:
        for body, line in zip(bodies, lines, strict=True):
            ours = line["response"]["status_code"], line["response"]["body"]
            assert tuple(map(comparable, ours)) == tuple(map(comparable, server.ask(CHAT, body)))
    none, red, blue, both = (line["response"]["body"] for line in lines)
    assert both["usage"]["prompt_tokens"] - red["usage"]["prompt_tokens"] >= PATCHES
    assert red["usage"]["prompt_tokens"] - none["usage"]["prompt_tokens"] >= PATCHES
    assert red["choices"][0]["logprobs"] != blue["choices"][0]["logprobs"]
