"""How much memory the processes of a local cloud hold, each by its name: resident bytes, as Linux counts them."""

from __future__ import annotations

import re
import threading
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from offpeak.local.cloud import LocalCloud

MB = 1_000_000
_FUNCTION = re.compile(r"/ministack-lambda-offpeak-[a-z]+-([a-z-]+)-[a-z0-9_]{8}/code$")
_KIB = 1_024


def resident_mb(cloud: LocalCloud) -> dict[str, float]:
    """MB by name: programs, `worker:<endpoint>`, and of each function the mean of its processes, `function:<name>`."""
    pids = {**cloud.pids(), **{f"worker:{w['endpoint']}": w["pid"] for w in cloud.workers()}}
    found = {name: _resident_bytes(pid) / MB for name, pid in pids.items()}
    functions: dict[str, list[int]] = defaultdict(list)
    for pid, name in _functions(pids["emulator"]).items():
        functions[name].append(_resident_bytes(pid))
    means = {
        f"function:{name}": sum(sizes) / len(sizes) / MB
        for name, sizes in sorted(functions.items())
    }
    return {name: round(size, 1) for name, size in {**found, **means}.items()}


def _functions(emulator: int) -> Mapping[int, str]:
    """Which function runs in which of the emulator's children."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            place = (
                _FUNCTION.search(str((folder / "cwd").readlink())) if parent == emulator else None
            )
        except OSError:
            continue  # it has just ended
        if place is not None:
            found[int(folder.name)] = place[1].replace("-", "_")
    return found


def _resident_bytes(pid: int) -> int:
    """0 of a process that has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0
    size = re.search(r"^VmRSS:\s+([0-9]+) kB", status, re.M)
    return int(size[1]) * _KIB if size else 0


class Sampler:
    """A look every `seconds`, on a thread, until it is left."""

    def __init__(self, cloud: LocalCloud, seconds: float) -> None:
        self.samples: list[dict[str, float]] = []
        self._cloud = cloud
        self._seconds = seconds
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Sampler:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._left.set()
        self._thread.join()
        self.samples.append(resident_mb(self._cloud))

    def _look(self) -> None:
        while not self._left.is_set():
            self.samples.append(resident_mb(self._cloud))
            self._left.wait(self._seconds)
