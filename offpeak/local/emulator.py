"""The AWS emulator (ministack, unpatched) as a child process, bound to 127.0.0.1, its state in one folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import httpx

from offpeak.local.processes import Process, ProcessFailed, answers, free_port

REGION = "us-east-1"
ACCOUNT_ID = "000000000000"
READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 5.0
STARTS_MAX = 3


class Emulator:
    """`with Emulator(python, folder) as emulator:` runs ministack from the interpreter of its own venv.

    `folder` takes its state, its log and its temporary files. `port=0` takes a free one. `auth=True` makes it enforce
    the roles' policies. Lambda handlers run as its children and inherit `environment`.
    """

    def __init__(
        self,
        python: Path,
        folder: Path,
        port: int = 0,
        *,
        auth: bool = False,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._python = python.absolute()  # not resolved: a venv is found by its own path
        self._folder = folder.absolute()
        self._chosen_port = port
        self._auth = auth
        self._extra = dict(environment or {})
        self._process: Process | None = None
        self.port = port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Raises ProcessFailed when it doesn't run. Functions' processes are its children."""
        if self._process is None:
            raise ProcessFailed("The AWS emulator does not run.")
        return self._process.pid

    @property
    def log(self) -> Path:
        return self._folder / "emulator.log"

    @property
    def environment(self) -> dict[str, str]:
        """What an AWS SDK needs to speak to it as the account's administrator."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
        }

    def __enter__(self) -> Emulator:
        (self._folder / "tmp").mkdir(parents=True, exist_ok=True)
        for attempt in range(STARTS_MAX):
            try:
                self._start()
            except ProcessFailed:
                # Between choosing a free port and listening on it somebody else may take it.
                if self._chosen_port or attempt == STARTS_MAX - 1:
                    raise
            else:
                break
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def check(self) -> None:
        """Raises ProcessFailed when it has ended by itself."""
        if self._process is not None:
            self._process.check()

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(STOP_SECONDS_MAX)
            self._process = None

    def _start(self) -> None:
        self.port = self._chosen_port or free_port()
        if answers(self.port):
            raise ProcessFailed(f"Port {self.port} is already in use.")
        self._process = Process(
            "The AWS emulator",
            [self._python, "-m", "ministack"],
            log=self.log,
            environment=self._child_environment(),
            cwd=self._folder,
        )
        try:
            self._process.wait_until(self._ready, READY_SECONDS_MAX)
        except BaseException:
            self.stop()
            raise

    def _child_environment(self) -> dict[str, str]:
        """Nothing of ours leaks in: the handlers inherit this, as on Lambda they inherit Lambda's."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._folder),
            "TMPDIR": str(self._folder / "tmp"),
            "LANG": "C.UTF-8",
            "BIND_HOST": "127.0.0.1",
            "GATEWAY_PORT": str(self.port),
            "MINISTACK_HOST": "localhost",
            "MINISTACK_REGION": REGION,
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self._folder / "s3"),
            "STATE_DIR": str(self._folder / "state"),
            "AUTH": "true" if self._auth else "false",
            "LAMBDA_EXECUTOR": "local",
            "SFTP_ENABLED": "0",  # these two listen on ports of their own
            "IOT_MTLS_ENABLED": "0",
            "DOCKER_HOST": f"unix://{self._folder}/no-docker.sock",  # a daemon is never asked
            "PYTHONUNBUFFERED": "1",
            **self._extra,
        }

    def _ready(self) -> bool:
        try:
            answer = httpx.get(f"{self.url}/_ministack/ready", timeout=2, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200
