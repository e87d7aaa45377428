"""The worker against vLLM's batch runner and against the engine given everything at once; what a line costs it.

    make bench-worker                       all cases, about 25 minutes on two cores
    make bench-worker CASES=a,c             some of them
    make bench-worker CASES=a REQUESTS=2000 PAIRS=3       as large as the measurement that the goal is from (an hour)

Real vLLM on the CPU with a generated model of 14.7 M parameters (hidden 512, 4 layers). Ratios are of throughput, ours
over theirs, each the median over alternating pairs in one process on one engine, prefix cache emptied before each run,
model loading excluded on all sides:

    a   shuffled requests, groups of ten share 1,500 tokens, the cache holds a fifth of all prefixes: ours on that file
        over run_batch on that file; and the cached shares of ours, and of run_batch on the sorted file
    b   the same file sorted              c   nothing shared, prompts and answers of mixed lengths
    d   four shards in a row, two at once, over one of the same lines: engine steps
    e   the echo engine: microseconds of CPU a line, the whole process's; peak memory at 10,000 and 100,000 lines

A figure is null when its case was not run. `--gpu` runs a to d with a generated model of 1.0 B parameters on a machine
with a GPU and vLLM for it; OFFPEAK_VLLM_PYTHON names the interpreter. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).parents[1]
VLLM_PYTHON = ROOT / ".offpeak/venvs/vllm/bin/python"
REQUESTS = {"a": 400, "b": 400, "c": 400, "d": 400}
REQUESTS_ON_A_GPU = {"a": 4_000, "b": 4_000, "c": 8_000, "d": 8_000}
PAIRS = {"a": 3, "b": 5, "c": 5, "d": 3}
ECHO_LINES = (10_000, 100_000)
FIGURES = (
    "shuffled_vs_run_batch", "shuffled_cached", "sorted_cached", "ordered_vs_run_batch",
    "unshared_vs_run_batch", "unshared_vs_all_at_once", "unshared_steps_ratio",
    "four_shards_steps_ratio", "overhead_us_per_line",
)  # fmt: skip
ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1",
    "VLLM_LOGGING_LEVEL": "ERROR", "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_CPU_OMP_THREADS_BIND": "auto", "TOKENIZERS_PARALLELISM": "false",
}  # fmt: skip
Runs = dict[str, list[dict[str, float]]]


def figures_of(case: str, runs: Runs) -> dict[str, float]:
    """Medians over the pairs of a case."""

    def faster_than(other: str) -> float:
        pairs = zip(runs["ours"], runs[other], strict=True)
        return median(theirs["seconds"] / ours["seconds"] for ours, theirs in pairs)

    def of(side: str, name: str) -> float:
        return median(run[name] for run in runs[side])

    if case == "a":
        return {
            "shuffled_vs_run_batch": faster_than("run_batch"),
            "shuffled_cached": of("ours", "cached"),
            "sorted_cached": of("run_batch_sorted", "cached"),
        }
    if case == "b":
        return {"ordered_vs_run_batch": faster_than("run_batch")}
    if case == "c":
        return {
            "unshared_vs_run_batch": faster_than("run_batch"),
            "unshared_vs_all_at_once": faster_than("all_at_once"),
            "unshared_steps_ratio": of("ours", "steps") / of("all_at_once", "steps"),
        }
    return {"four_shards_steps_ratio": of("four", "steps") / of("one", "steps")}


def last_json(command: list[str]) -> Any:
    """Runs it, its lines passed on but for the last, which is the answer."""
    last = ""
    with subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **ENVIRONMENT, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        for line in process.stdout or ():
            if last:
                print(last, flush=True)
            last = line.rstrip()
    if process.returncode:
        raise SystemExit(f"{' '.join(command[:4])} ended with status {process.returncode}.")
    return json.loads(last)


def run_engine_case(case: str, folder: Path, options: argparse.Namespace) -> dict[str, float]:
    requests = options.requests or (REQUESTS_ON_A_GPU if options.gpu else REQUESTS)[case]
    pairs = options.pairs or PAIRS[case]
    command = [
        vllm_python(), "-m", "benchmarks.worker_engine", case, str(folder),
        "--requests", str(requests), "--pairs", str(pairs), *(["--gpu"] if options.gpu else []),
    ]  # fmt: skip
    return figures_of(case, last_json(command))


def run_echo_case(lines: tuple[int, ...] = ECHO_LINES) -> dict[str, float]:
    """The cost of the longest run, which has paid for every start."""
    found = {}
    for count in lines:
        found = last_json([sys.executable, "-m", "benchmarks.worker_echo", str(count)])
        us, peak = found["us_per_line"], found["peak_mb"]
        print(f"e: {count:7,} lines: {us:5.1f} µs of CPU a line, peak {peak:5.1f} MB", flush=True)
    return {"overhead_us_per_line": found["us_per_line"]}


def vllm_python() -> str:
    found = os.environ.get("OFFPEAK_VLLM_PYTHON", str(VLLM_PYTHON))
    if not Path(found).exists():
        raise SystemExit(f"{found} is missing: run `make setup-vllm`, or set OFFPEAK_VLLM_PYTHON.")
    return found


def require_gpu() -> None:
    asked = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    if subprocess.run([vllm_python(), "-c", asked], check=False).returncode:
        raise SystemExit(
            "--gpu needs a machine with an NVIDIA GPU (16 GiB or more) and OFFPEAK_VLLM_PYTHON, the interpreter of a "
            "venv that holds vLLM 0.32 for it. This interpreter sees no GPU."
        )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.worker")
    parser.add_argument("--cases", default="a,b,c,d,e", help="which, with commas between")
    parser.add_argument("--requests", type=int, help="of each case a to d")
    parser.add_argument("--pairs", type=int, help="of each case a to d")
    parser.add_argument("--gpu", action="store_true")
    options = parser.parse_args()
    cases = sorted(set(options.cases.split(",")))
    if unknown := set(cases) - set("abcde"):
        parser.error(f"there is no case {sorted(unknown)[0]!r}")
    if options.gpu:
        require_gpu()
    figures: dict[str, float | None] = dict.fromkeys(FIGURES)
    with tempfile.TemporaryDirectory(prefix="offpeak-model-") as folder:
        if set(cases) & set("abcd"):
            size = "large" if options.gpu else "small"
            generate = [vllm_python(), "-m", "offpeak.local.tiny_model", folder, "--size", size]
            subprocess.run(generate, cwd=ROOT, check=True, capture_output=True)
        for case in cases:
            found = run_echo_case() if case == "e" else run_engine_case(case, Path(folder), options)
            figures |= {name: round(value, 4) for name, value in found.items()}
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
