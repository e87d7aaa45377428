"""The local cloud: emulator, deployed stacks, SageMaker stand-in and door, as one context.

    door ─► gateway's limits ─► API Gateway ─► Lambda ─► …   ┐
      │                                          │           ├ the emulator, with the stacks of `python app.py`
      └─► S3, DynamoDB                           │           │
    stand-in ◄────────────── InvokeEndpointAsync ┘           ┘
       └─► instances: processes of containers/vllm/main.py

Everything it writes lies under its folder, but for the assemblies and bundles that are kept for the next time under
`.offpeak/`. Leaving the context stops every process it started.
"""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import httpx

from offpeak.core.model import Elsewhere
from offpeak.core.models_text import write_models
from offpeak.local.assembly import Stack, only, read_assembly, with_caller_names
from offpeak.local.deploy import Deployed, deploy
from offpeak.local.emulator import REGION, Emulator
from offpeak.local.front import Front
from offpeak.local.function_logs import save_logs
from offpeak.local.inference import Instances, stage_tokenizers
from offpeak.local.keys import Keys
from offpeak.local.models import known_models, offer, with_fields, with_names, with_regions
from offpeak.local.processes import ProcessFailed, answers, free_port
from offpeak.local.programs import START_SECONDS_MAX, Programs
from offpeak.local.sagemaker.__main__ import encode_config
from offpeak.local.sagemaker.instance import STOP_GRACE_SECONDS
from offpeak.local.synthesis import synthesise
from offpeak.local.tiny_model import begin_generating, is_generated

ROOT = Path(__file__).resolve().parents[2]
TINY_MODEL = ROOT / ".offpeak/tiny-model"
STAGE = "local"
ACCOUNT = "default"
WORKERS_SECONDS_MAX = 900.0
MODEL_SECONDS_MAX = 300.0
INFERENCE = f"offpeak-{STAGE}-inference-"
API, DOOR = f"offpeak-{STAGE}-api", f"offpeak-{STAGE}-door"
# SageMaker's paces are for GPUs by the hour; here a shard takes seconds and somebody watches.
WORKER_ENVIRONMENT = {
    "OFFPEAK_LEASE_SECONDS": "30",
    "OFFPEAK_RENEW_SECONDS": "5",
    "OFFPEAK_POLL_SECONDS": "2",
    "OFFPEAK_CHECKPOINT_SECONDS": "5",
    "OFFPEAK_REACH": "loopback",  # images may come from this machine
}


def venv_python(name: str) -> Path:
    """The interpreter of a venv that `make` has made."""
    return ROOT / ".offpeak/venvs" / name / "bin/python"


class LocalCloud:
    """`with LocalCloud(engine="echo", folder=folder) as cloud:` — ready for requests on entry; its workers may still be
    starting (`wait_for_workers`).

    `engine` is `echo`, `vllm` or the URL of an OpenAI-compatible server, `model` what it serves instead of its default,
    `aliases` further names of it: those of `models.toml` are given too, so that what is written for a deployment runs.
    `port=0` takes a free one. `auth=True` makes the emulator enforce the deployed roles. `worker` goes over the
    instances' environment, `model_fields` over the fields of the models file (`{"shard_lines_max": 50}`). `regions` are
    further ones that have pools, too, by the model's id. Each step of the start is told to `tell`. `between` stands
    between AWS and its callers: given the emulator's URL it gives the one that functions, instances and SageMaker speak
    to, each under its own name (a meter, for example).
    """

    def __init__(
        self,
        *,
        engine: str = "echo",
        model: str | None = None,
        aliases: Sequence[str] = (),
        folder: Path,
        port: int = 0,
        auth: bool = False,
        eager: bool = True,
        echo_seconds_per_line: float = 0.0,
        worker: Mapping[str, str] | None = None,
        model_fields: Mapping[str, Any] | None = None,
        regions: Mapping[str, Mapping[str, Elsewhere]] | None = None,
        emulator_python: Path | None = None,
        worker_python: Path | None = None,
        tell: Callable[[str], None] = lambda _: None,
        between: Callable[[str], str] | None = None,
    ) -> None:
        found = with_fields(offer(engine, model, TINY_MODEL), model_fields or {})
        self._offer = with_names(with_regions(found, regions or {}), aliases, known_models(ROOT))
        self._folder = folder.absolute()
        self._port = port
        self._auth = auth
        self._eager = eager
        self._emulator_python = emulator_python or venv_python("emulator")
        own = venv_python("vllm") if self._offer.kind == "vllm" else Path(sys.executable)
        self._worker_python = worker_python or own
        self._worker = {
            **WORKER_ENVIRONMENT,
            **self._offer.environment,
            "OFFPEAK_ECHO_SECONDS_PER_LINE": str(echo_seconds_per_line),
            **(worker or {}),
        }
        self._tell = tell
        self._between = between
        self._open = ExitStack()
        self._http = self._open.enter_context(
            httpx.Client(timeout=START_SECONDS_MAX, trust_env=False)
        )
        self.programs = Programs(self._folder, self._open)
        self._inference_url = ""

    def __enter__(self) -> LocalCloud:
        with ExitStack() as undo:
            undo.push(self._open)
            self._start()
            undo.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._open.close()

    # ── what callers use ─────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def base_url(self) -> str:
        """The root; OpenAI's SDKs take it with `/v1`."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def aws_endpoint_url(self) -> str:
        return self._emulator.url

    @property
    def environment(self) -> dict[str, str]:
        """For boto3, as the account's administrator."""
        return {**self._emulator.environment, **self._sagemaker_environment}

    @property
    def bucket(self) -> str:
        return self._deployed.outputs[f"offpeak-{STAGE}-storage"]["BucketName"]

    @property
    def model(self) -> str:
        """The id of the model to try first."""
        return self._offer.models[0].id

    @property
    def folder(self) -> Path:
        return self._folder

    def new_key(self, account: str) -> tuple[str, str]:
        """The id of the account of this name, made if need be, and a new key of it."""
        made = self._keys.create(account)
        return made.account.id, made.secret

    def pids(self) -> Mapping[str, int]:
        """The processes of the cloud by name, but for workers and for functions, which are the emulator's children."""
        return {"emulator": self._emulator.pid, **self.programs.pids()}

    def workers(self) -> Sequence[Mapping[str, Any]]:
        """The stand-in's instances: `endpoint`, `region`, `instance`, `pid`, `url`, `ready`, `in_flight`."""
        answer = self._http.get(f"{self._inference_url}/_local/instances").raise_for_status()
        return list(answer.json())

    def signal_worker(self, pid: int, name: str) -> None:
        """Sends an instance a signal, `SIGKILL` for example. SageMaker's stand-in replaces it when it is gone."""
        self._http.post(
            f"{self._inference_url}/_local/instances/{pid}", json={"signal": name}
        ).raise_for_status()

    def check(self) -> None:
        """Raises ProcessFailed when a process of the cloud has ended by itself."""
        self.programs.check()
        self._emulator.check()

    def wait_for_workers(self, seconds: float = WORKERS_SECONDS_MAX) -> None:
        """Returns once every pool has a worker that is ready. Raises ProcessFailed."""
        deadline = time.monotonic() + seconds
        pools = {
            (region, f"offpeak-{STAGE}-{model.pool}")
            for model in self._offer.models
            for region in (REGION, *model.regions)
        }
        while not pools <= {(w["region"], w["endpoint"]) for w in self.workers() if w["ready"]}:
            self.check()
            if time.monotonic() > deadline:
                logs = self._folder / "logs"
                raise ProcessFailed(f"The workers are not ready after {seconds:.0f} s; see {logs}.")
            time.sleep(0.1)

    # ── how it comes about ───────────────────────────────────────────────────────────────────────────────────────────

    def _start(self) -> None:
        for python in (self._emulator_python, self._worker_python):
            if not python.exists():
                raise ProcessFailed(f"{python} is missing: run `make setup setup-vllm`.")
        shutil.rmtree(self._folder / "emulator", ignore_errors=True)
        (self._folder / "logs").mkdir(parents=True, exist_ok=True)
        self._port = self._port or free_port()
        if answers(self._port):
            raise ProcessFailed(f"Port {self._port} is already in use: choose another with PORT=.")
        inference_port = free_port()
        self._inference_url = f"http://127.0.0.1:{inference_port}"
        if self._offer.models[0].source == str(TINY_MODEL) and not is_generated(TINY_MODEL):
            self._generate_model()
        self._open.callback(self._forget_state)
        self._tell("Starting the AWS emulator")
        self._emulator = self._open.enter_context(
            Emulator(
                self._emulator_python,
                self._folder / "emulator",
                auth=self._auth,
                environment=self._sagemaker_environment,
            )
        )
        self._spoken_to = self._between(self._emulator.url) if self._between else self._emulator.url
        stacks = self._synthesise()
        if self._between:
            stacks = [with_caller_names(stack, self._spoken_to) for stack in stacks]
        self._open.callback(save_logs, self._emulator.environment, self._folder / "logs")
        self._deploy(stacks)
        stage_tokenizers(self._offer.models, self.bucket, self._emulator.environment)
        self._keys = Keys(self._emulator.environment, STAGE)
        self.account_id, self.api_key = self.new_key(ACCOUNT)
        self._start_inference(stacks, inference_port)
        self._start_front(stacks)

    def _generate_model(self) -> None:
        self._tell("Generating a tiny model with random weights")
        log = self._folder / "logs/tiny_model.log"
        generator = begin_generating(TINY_MODEL, self._worker_python, log)
        self._open.callback(generator.stop)
        generator.wait_for_end(MODEL_SECONDS_MAX)

    def _forget_state(self) -> None:
        """Objects and unpacked functions take room; the logs stay."""
        for name in ("s3", "tmp", "functions"):
            shutil.rmtree(self._folder / "emulator" / name, ignore_errors=True)

    @property
    def _sagemaker_environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL_SAGEMAKER": self._inference_url,
            "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": self._inference_url,
            "AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING": self._inference_url,
        }

    def _synthesise(self) -> Sequence[Stack]:
        self._tell("Synthesising the stacks")
        self._models_file = self._folder / "models.toml"
        self._models_file.write_text(write_models(self._offer.models))
        return read_assembly(synthesise(ROOT, self._models_file))

    def _deploy(self, stacks: Sequence[Stack]) -> None:
        """Of inference and the door, only the roles: the emulator knows no SageMaker and no containers."""
        self._tell("Deploying them")
        self._deployed: Deployed = deploy(
            [only(s, "AWS::IAM::") if s.name.startswith((INFERENCE, DOOR)) else s for s in stacks],
            self._emulator.environment,
            unpacked=self._folder / "emulator/functions",
        )

    def _start_inference(self, stacks: Sequence[Stack], port: int) -> None:
        self._tell("Starting the SageMaker stand-in and its workers")
        instances = Instances(
            python=self._worker_python,
            models_file=self._models_file,
            environment=self._worker,
            aws={**self._emulator.environment, "AWS_ENDPOINT_URL": self._spoken_to},
            folder=self._folder,
            eager=self._eager,
        )
        pools = [stack for stack in stacks if stack.name.startswith(INFERENCE)]
        config = encode_config(port, instances.serve(pools, self._deployed))
        self.programs.start_configured(
            "offpeak.local.sagemaker", config, port, STOP_GRACE_SECONDS + 10
        )

    def _start_front(self, stacks: Sequence[Stack]) -> None:
        front = Front(
            api=API, door=DOOR, stacks=stacks, deployed=self._deployed,
            aws=self._emulator.environment, folder=self._folder, port=self._port,
        )  # fmt: skip
        front.start(self.programs)
        front.wait_for_api(self._http, self.api_key)
