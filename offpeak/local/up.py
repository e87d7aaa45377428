"""`make up`: the local cloud, serving until Ctrl-C or SIGTERM."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from offpeak.local.cloud import ROOT, LocalCloud
from offpeak.local.deploy import DeployFailed
from offpeak.local.models import EngineError
from offpeak.local.processes import ProcessFailed, leave_on_signals
from offpeak.local.synthesis import SynthesisFailed

LOCAL_FILE = ROOT / ".offpeak/local.json"
CHECK_SECONDS = 1.0


def default_folder(port: int) -> Path:
    """Where a cloud on this port lives: two at once never share one."""
    return ROOT / f".offpeak/clouds/{port}"


def main() -> int:
    options = _options()
    try:
        with leave_on_signals():
            _serve(options)
    except KeyboardInterrupt:
        return 0
    except (DeployFailed, EngineError, ProcessFailed, SynthesisFailed) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make up")
    parser.add_argument("--engine", default="vllm", help="vllm, echo, or a server's URL")
    parser.add_argument("--model", help="a model directory, a hub name, or the server's name of it")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--auth", action="store_true", help="enforce the deployed roles")
    return parser.parse_args()


def _serve(options: argparse.Namespace) -> None:
    started = time.monotonic()
    with LocalCloud(
        engine=options.engine,
        model=options.model,
        folder=default_folder(options.port),
        port=options.port,
        auth=options.auth,
        tell=lambda step: print(f"  {step} …", flush=True),
    ) as cloud:
        cloud.wait_for_workers()
        with _announced(cloud, options.engine):
            print(f"Ready after {time.monotonic() - started:.0f} s. Ctrl-C ends it.", flush=True)
            while True:
                time.sleep(CHECK_SECONDS)
                cloud.check()


@contextmanager
def _announced(cloud: LocalCloud, engine: str) -> Iterator[None]:
    """The file by which `offpeak` finds this cloud: there as long as it serves."""
    facts = {
        "base_url": cloud.base_url,
        "api_key": cloud.api_key,
        "account": cloud.account_id,
        "aws_endpoint_url": cloud.aws_endpoint_url,
        "bucket": cloud.bucket,
        "engine": engine,
        "model": cloud.model,
    }
    for name in ("base_url", "api_key", "bucket", "model"):
        print(f"{name.replace('_', ' '):<10} {facts[name]}")
    fresh = LOCAL_FILE.with_suffix(".new")
    fresh.touch(mode=0o600)
    fresh.write_text(json.dumps(facts, indent=2) + "\n")
    fresh.replace(LOCAL_FILE)
    try:
        yield
    finally:
        if LOCAL_FILE.exists() and json.loads(LOCAL_FILE.read_text()) == facts:
            LOCAL_FILE.unlink()


if __name__ == "__main__":
    sys.exit(main())
