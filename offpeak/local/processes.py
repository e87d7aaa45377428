"""Child processes that never outlive us: each in a session of its own, stopped by its process group."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

LOG_TAIL_BYTES = 3_000
POLL_SECONDS = 0.02
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None


class ProcessFailed(RuntimeError):
    """A child ended, or did not become ready in time. The message ends with the tail of its log."""


def free_port() -> int:
    """A TCP port that nobody listens on at 127.0.0.1 right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def answers(port: int) -> bool:
    """Whether somebody accepts connections at 127.0.0.1:`port`."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _follow(parent: int, death_signal: signal.Signals, niceness: int) -> None:
    """Runs in the child before its program: the kernel sends it `death_signal` when we die, however we die."""
    os.nice(niceness)
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(death_signal))
        if os.getppid() != parent:
            os.kill(os.getpid(), death_signal)


class Process:
    """A running child. Its output goes to the file `log`; it leads a process group of its own, so that a Ctrl-C in the
    terminal reaches us first and its own children go when it goes. Start it from a thread that lives as long as we do:
    on Linux the child gets `death_signal` when that thread ends, a SIGKILL of our own included. With a `niceness` over
    0 it leaves the processors to others first."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        environment: Mapping[str, str],
        cwd: Path | None = None,
        death_signal: signal.Signals = signal.SIGTERM,
        niceness: int = 0,
    ) -> None:
        self.name = name
        self.log = log
        self._group_killed = False
        log.parent.mkdir(parents=True, exist_ok=True)
        parent = os.getpid()
        with log.open("ab") as output:
            self._popen = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                cwd=cwd,
                start_new_session=True,
                preexec_fn=lambda: _follow(parent, death_signal, niceness),  # noqa: PLW1509 - system calls only
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Returns once `ready()`. Raises ProcessFailed when the child ends before, or after `seconds`."""
        deadline = time.monotonic() + seconds
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise ProcessFailed(
                    f"{self.name} was not ready after {seconds:.0f} s.\n" + self.log_tail()
                )
            time.sleep(POLL_SECONDS)

    def check(self) -> None:
        """Raises ProcessFailed when the child has ended."""
        if not self.running:
            raise ProcessFailed(
                f"{self.name} ended with status {self._popen.returncode}.\n" + self.log_tail()
            )

    def wait_for_end(self, seconds: float) -> None:
        """Returns once the child has ended well. Raises ProcessFailed when it has not."""
        try:
            status = self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(
                f"{self.name} has not ended after {seconds:.0f} s.\n" + self.log_tail()
            ) from None
        if status != 0:
            self.check()

    def terminate(self) -> None:
        """SIGTERM to the child itself; its own children are its affair until `stop`."""
        if self.running:
            self._popen.terminate()

    def send(self, number: signal.Signals) -> None:
        """A signal to the child itself."""
        if self.running:
            self._popen.send_signal(number)

    def kill(self) -> None:
        """SIGKILL to the whole group, now."""
        self._kill_group()
        self._popen.wait()

    def stop(self, grace_seconds: float = 5.0) -> None:
        """SIGTERM, up to `grace_seconds`, then SIGKILL to whatever is left of the group. Safe to call again."""
        self.terminate()
        try:
            self._popen.wait(grace_seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def log_tail(self) -> str:
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - LOG_TAIL_BYTES))
            tail = log.read().decode(errors="replace")
        return f"… {self.log}:\n{tail}"

    def _kill_group(self) -> None:
        if self._group_killed:  # its number may be somebody else's by now
            return
        self._group_killed = True
        try:
            os.killpg(self._popen.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return


@contextmanager
def leave_on_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt once; what comes later can't interrupt the leaving."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def leave(number: int, frame: object) -> None:
        del number, frame
        for each in numbers:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
