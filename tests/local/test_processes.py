import os
import signal
import sys
import time
from pathlib import Path

import pytest

from offpeak.local.processes import Process, ProcessFailed

ROOT = Path(__file__).parents[2]
HANGS = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
time.sleep(600)
"""


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 5
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not _alive(pid)


def _start(tmp_path: Path, program: str) -> Process:
    return Process(
        "The child",
        [sys.executable, "-c", program],
        log=tmp_path / "child.log",
        environment={**os.environ, "PYTHONPATH": str(ROOT)},
    )


def test_a_child_that_ignores_sigterm_goes_and_takes_its_children_along(tmp_path: Path) -> None:
    child = _start(tmp_path, HANGS)
    child.wait_until(lambda: child.log.read_text().endswith("\n"), 20)
    grandchild = int(child.log.read_text())
    assert _alive(grandchild)
    child.stop(grace_seconds=0.2)
    assert not child.running
    _wait_until_gone(grandchild)


def test_a_child_that_obeys_sigterm_is_given_its_grace(tmp_path: Path) -> None:
    child = _start(
        tmp_path,
        "import signal, sys, time\n"
        "def leave(*_):\n    time.sleep(0.3); print('flushed', flush=True); sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, leave); print('up', flush=True); time.sleep(600)",
    )
    child.wait_until(lambda: "up" in child.log.read_text(), 20)
    child.stop(grace_seconds=10)
    assert "flushed" in child.log.read_text()


def test_a_child_that_ends_early_is_an_error_with_the_end_of_its_log(tmp_path: Path) -> None:
    child = _start(tmp_path, "import sys; sys.exit('no such disk')")
    with pytest.raises(ProcessFailed, match="no such disk"):
        child.wait_until(lambda: False, 20)
    child.stop()


def test_a_child_that_is_never_ready_is_an_error(tmp_path: Path) -> None:
    child = _start(tmp_path, "import time; time.sleep(600)")
    with pytest.raises(ProcessFailed, match=r"not ready after 0 s"):
        child.wait_until(lambda: False, 0.1)
    child.stop(0)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal is Linux's")
def test_a_child_goes_when_we_are_killed(tmp_path: Path) -> None:
    parent = _start(
        tmp_path,
        "import os, sys, time\nfrom pathlib import Path\n"
        "from offpeak.local.processes import Process\n"
        "child = Process('x', [sys.executable, '-c', 'import time; time.sleep(600)'],"
        f" log=Path({str(tmp_path / 'grandchild.log')!r}), environment=dict(os.environ))\n"
        "print(child.pid, flush=True)\ntime.sleep(600)",
    )
    parent.wait_until(lambda: parent.log.read_text().endswith("\n"), 20)
    grandchild = int(parent.log.read_text())
    os.kill(parent.pid, signal.SIGKILL)
    _wait_until_gone(grandchild)
    parent.stop()
