"""The local cloud's own programs: each a process that listens on a port, started, watched and stopped by name."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from offpeak.local.processes import Process, answers

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS_MAX = 30.0


class Programs:
    """`folder` takes their configurations and, under `logs`, what they say. `stops` stops them when it closes."""

    def __init__(self, folder: Path, stops: ExitStack) -> None:
        self._folder = folder
        self._stops = stops
        self._running: dict[str, Process] = {}
        self._starts: dict[str, Callable[[], None]] = {}

    def start_configured(self, module: str, config: str, port: int, stop_seconds: float) -> None:
        """A program of ours whose one argument is its configuration. It goes by the last word of its module's name."""
        name = module.rsplit(".", 1)[-1]
        path = self._folder / f"{name}.json"
        path.write_text(config)
        path.chmod(0o600)
        self.start(name, [sys.executable, "-m", module, path], {}, port, stop_seconds)

    def start(
        self, name: str, command: Sequence[str | Path], environment: Mapping[str, str], port: int,
        stop_seconds: float,
    ) -> None:  # fmt: skip
        """Returns when it listens on `port`. Raises ProcessFailed."""

        def start() -> None:
            process = Process(
                name,
                command,
                log=self._folder / "logs" / f"{name}.log",
                environment={
                    "PATH": "/usr/bin:/bin",
                    "LANG": "C.UTF-8",
                    "PYTHONUNBUFFERED": "1",
                    "AWS_SDK_UA_APP_ID": name,
                    **environment,
                },
                cwd=ROOT,
            )
            self._stops.callback(process.stop, stop_seconds)
            self._running[name] = process
            process.wait_until(lambda: answers(port), START_SECONDS_MAX)

        self._starts[name] = start
        start()

    def crash(self, name: str) -> None:
        """SIGKILL to it and to all of its processes. It is gone until `restart`. Raises KeyError."""
        self._running.pop(name).kill()

    def restart(self, name: str) -> None:
        """After a crash: as it was started, on the same port. What it had in memory is lost."""
        self._starts[name]()

    def pids(self) -> Mapping[str, int]:
        return {name: process.pid for name, process in self._running.items()}

    def check(self) -> None:
        """Raises ProcessFailed when one has ended by itself."""
        for process in self._running.values():
            process.check()
