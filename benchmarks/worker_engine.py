"""One case of the worker's benchmark on real vLLM: run in vLLM's venv as a process of its own.

    python -m benchmarks.worker_engine CASE MODEL_FOLDER --requests N --pairs N [--gpu]

One engine for all sides, so that nothing but the way requests come to it differs; its prefix cache is emptied before
each run, and the model is loaded and every side has run once before any is timed. Sides take turns. Each prints its
seconds, steps and cached share; the last line is JSON: side → [{seconds, steps, cached}, …].

    ours         shards through the worker: claim, read, order, admission, checkpoints, results in input order
    run_batch    vLLM's own batch runner, `run_batch` of its module, on the same file, its serving objects built before
    all_at_once  every request given to the engine in one go, by the worker's own adapter
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import logging
import tempfile
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from vllm.entrypoints.launchers import run_batch as vllm_batch
from vllm.utils.argparse_utils import FlexibleArgumentParser

from benchmarks.worker_lines import CHAT, Shape, mixed_lines, shuffled, sorted_lines
from benchmarks.worker_shards import MODEL, run_shards
from offpeak.worker.engines.vllm import VllmEngine

Side = Callable[[], Awaitable[None]]
Figures = dict[str, float]
BLOCK_TOKENS, CONTEXT_TOKENS = 32, 2_048
ON_A_CPU = {"dtype": "bfloat16", "enforce-eager": True, "block-size": BLOCK_TOKENS}
REQUESTS_PER_GROUP, PREFIX_TOKENS = 10, 1_500
CACHED_PREFIXES = 0.21
"""Which share of all prefixes the KV cache of the cases a and b holds: as in the measurement that the goal is from
(200 groups of 1,500 tokens, 64,000 tokens of cache)."""
SEQUENCES, ANSWER_TOKENS = 32, 16
"""In that measurement. Fewer at once here make answers shorter, so that a request has as large a part in a step."""
SHARDS = 4


def sequences_of(requests: int) -> int:
    """As many at once as a shuffled file's requests fit into the cache of the cases a and b."""
    tokens = requests // REQUESTS_PER_GROUP * PREFIX_TOKENS * CACHED_PREFIXES
    return max(2, int(tokens / (PREFIX_TOKENS + 400)))


def engine_args(case: str, requests: int, *, gpu: bool) -> dict[str, Any]:
    """Of the sides' one engine."""
    common: dict[str, Any] = {"max-model-len": CONTEXT_TOKENS, **({} if gpu else ON_A_CPU)}
    if case not in {"a", "b"}:
        return {**common, "max-num-seqs": 256 if gpu else 32}
    groups = requests // REQUESTS_PER_GROUP
    tokens = max(round(groups * PREFIX_TOKENS * CACHED_PREFIXES), 2 * CONTEXT_TOKENS)
    block = 16 if gpu else BLOCK_TOKENS
    return {
        **common, "max-num-seqs": sequences_of(requests), "num-gpu-blocks-override": tokens // block,
    }  # fmt: skip


class Bench:
    def __init__(self, engine: VllmEngine, folder: Path) -> None:
        self._engine = engine
        self._folder = folder
        self._registry: Any = None

    async def ours(self, *shards: Sequence[bytes]) -> None:
        await run_shards(self._engine, shards, self._folder, CHAT)

    async def all_at_once(self, lines: Sequence[bytes]) -> None:
        bodies = [msgspec.json.decode(line)["body"] for line in lines]
        answers = await asyncio.gather(
            *(self._engine.run(CHAT, body, priority=0) for body in bodies)
        )
        if any(answer.status_code != 200 for answer in answers):
            raise SystemExit("all_at_once: a request was refused.")

    async def run_batch(self, lines: Sequence[bytes]) -> None:
        given, got = self._folder / "in.jsonl", self._folder / "out.jsonl"
        given.write_bytes(b"".join(lines))
        parser = vllm_batch.make_arg_parser(FlexibleArgumentParser())
        options = parser.parse_args(
            ["-i", str(given), "-o", str(got), "--model", MODEL, "--served-model-name", MODEL,
             "--enable-prompt-tokens-details"]
        )  # fmt: skip
        if self._registry is None:
            build = vllm_batch.build_endpoint_registry
            self._registry = await build(self._engine.client, options)
            vllm_batch.build_endpoint_registry = self._built
        await vllm_batch.run_batch(self._engine.client, options)
        written = got.read_bytes().splitlines()
        if len(written) != len(lines) or any(b'"status_code":200' not in each for each in written):
            raise SystemExit("run_batch: a request was refused.")

    async def _built(self, **_: Any) -> Any:
        return self._registry

    async def measure(self, side: Side) -> Figures:
        """On an empty prefix cache."""
        if not await self._engine.client.reset_prefix_cache():
            raise SystemExit("The prefix cache could not be emptied.")
        before, started = self._engine.stats(), time.monotonic()
        await side()
        seconds, after = time.monotonic() - started, self._engine.stats()
        moved = {name: after[name] - before.get(name, 0) for name in after}
        return {
            "seconds": seconds, "steps": moved["steps"],
            "cached": moved["cache_hits"] / max(1, moved["cache_queries"]),
        }  # fmt: skip


def sides_of(
    case: str, bench: Bench, requests: int, count: Callable[[str], int]
) -> Mapping[str, Side]:
    if case in {"a", "b"}:
        shape = Shape(requests=requests, per_group=REQUESTS_PER_GROUP, prefix_tokens=PREFIX_TOKENS)
        ordered = sorted_lines(shape, MODEL, count)
        given = shuffled(ordered) if case == "a" else ordered
        sides: dict[str, Side] = {
            "ours": lambda: bench.ours(given),
            "run_batch": lambda: bench.run_batch(given),
        }
        if case == "a":
            sides["run_batch_sorted"] = lambda: bench.run_batch(ordered)
        return sides
    mixed = mixed_lines(requests, MODEL, count)
    if case == "c":
        return {
            "ours": lambda: bench.ours(mixed),
            "run_batch": lambda: bench.run_batch(mixed),
            "all_at_once": lambda: bench.all_at_once(mixed),
        }
    size = -(-len(mixed) // SHARDS)
    shards = [mixed[start : start + size] for start in range(0, len(mixed), size)]
    return {"four": lambda: bench.ours(*shards), "one": lambda: bench.ours(mixed)}


async def run(options: argparse.Namespace) -> dict[str, list[Figures]]:
    transformers: Any = importlib.import_module("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(options.folder)
    engine = VllmEngine(
        str(options.folder), MODEL, 16,
        engine_args(options.case, options.requests, gpu=options.gpu),
    )  # fmt: skip
    await engine.start()
    found: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory(prefix="offpeak-") as folder:
        bench = Bench(engine, Path(folder))
        count: Callable[[str], int] = lambda text: len(tokenizer.encode(text))  # noqa: E731
        warm = sides_of(options.case, bench, 20, count)
        for side in warm.values():
            await bench.measure(side)
        sides = sides_of(options.case, bench, options.requests, count)
        for pair in range(options.pairs):
            turns = list(sides.items())
            for name, side in turns if pair % 2 == 0 else reversed(turns):
                figures = await bench.measure(side)
                found.setdefault(name, []).append(figures)
                print(
                    f"{options.case} {pair + 1}: {name:17} {figures['seconds']:7.2f} s "
                    f"{figures['steps']:6.0f} steps {figures['cached']:6.1%} cached",
                    flush=True,
                )
    await engine.stop()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker_engine")
    parser.add_argument("case", choices=list("abcd"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--requests", type=int, required=True)
    parser.add_argument("--pairs", type=int, required=True)
    parser.add_argument("--gpu", action="store_true")
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    print(json.dumps(asyncio.run(run(options))), flush=True)


if __name__ == "__main__":
    main()
