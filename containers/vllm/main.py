"""The SageMaker container's process: binds the worker to AWS and an engine, and serves until SIGTERM.

    python -m containers.vllm.main        (from the repository's root, or with it on PYTHONPATH)

The server answers before the engine is ready, with 503. SageMaker sends SIGTERM 30 s before SIGKILL: the seconds below
add up to less. When the engine dies the process ends, for whoever runs it to start it anew.
"""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import os
import socket
import sys
from functools import partial
from types import FrameType

import uvicorn

from containers.vllm.app import create_app
from containers.vllm.settings import ContainerSettings, SettingsError
from containers.vllm.tuning import tuned_arguments
from offpeak.aws.connect import Aws
from offpeak.aws.destinations import HttpDestinations
from offpeak.core.catalogue import Model
from offpeak.core.errors import OffpeakError
from offpeak.core.invocation import ShardOrder
from offpeak.core.layout import attempt_report_key
from offpeak.core.ports import Writer
from offpeak.worker.engine import Engine, EngineDead
from offpeak.worker.images import Images
from offpeak.worker.instance import Instance
from offpeak.worker.ports import WorkerPorts

logger = logging.getLogger("offpeak.container")
IDLE_SECONDS_MAX = 14.0
CONNECTIONS_SECONDS_MAX = 3
ABANDON_SECONDS_MAX = 3.0
LIVENESS_SECONDS = 1.0
OK, FAILED = 0, 1


class Server(uvicorn.Server):
    """SIGTERM and SIGINT first end the shards' work; the sockets stay open meanwhile, to answer 503 and the reports."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.told_to_stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - uvicorn's signature
        self._loop.call_soon_threadsafe(self.told_to_stop.set)


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    try:
        return asyncio.run(serve(ContainerSettings.from_environment(os.environ)))
    except (SettingsError, ValueError) as error:
        logger.error("%s", error)
        return FAILED


async def serve(settings: ContainerSettings) -> int:
    """Runs the container; returns the process's exit code."""
    aws = Aws.from_environment()
    model = aws.catalogue.find(settings.model)
    if model is None:
        raise SettingsError(
            f"OFFPEAK_MODEL is {settings.model!r}; the catalogue has no such model."
        )
    if settings.hub_token_secret is not None:
        os.environ["HF_TOKEN"] = read_hub_token(aws, settings.hub_token_secret)
    ports = WorkerPorts(
        clock=aws.clock, reader=aws.reader, writer=aws.writer, changes=aws.changes,
        runs=aws.runs, shards=aws.shards,
        images=Images(
            takes_images=model.modality == "vision", bucket=os.environ["OFFPEAK_BUCKET"],
            reader=aws.reader, reach=settings.reach,
            destinations=HttpDestinations(settings.reach),
        ),
    )  # fmt: skip
    instance = Instance(
        model=model.id, name=f"{socket.gethostname()}-{os.getpid()}", ports=ports,
        load=partial(build_engine, settings, model), settings=settings.worker,
    )  # fmt: skip
    keep = None if settings.home_region is None else partial(keep_report, aws.writer)
    server = Server(
        uvicorn.Config(
            create_app(instance, keep), host=settings.bind_host, port=settings.port, log_config=None,
            access_log=False, lifespan="off", timeout_graceful_shutdown=CONNECTIONS_SECONDS_MAX,
        )
    )  # fmt: skip
    recovers = settings.engine == "openai_server"
    lifetime = asyncio.create_task(live(server, instance, recovers=recovers))
    await server.serve()
    return await lifetime


def keep_report(writer: Writer, order: ShardOrder, report: bytes) -> None:
    """An instance in a further region answers SageMaker there; who reads the report is at home."""
    key = attempt_report_key(order.batch_id, order.run, order.number, order.attempt)
    writer.put(key, report, "application/json")


def read_hub_token(aws: Aws, secret: str) -> str:
    """The hub's token out of Secrets Manager. Raises SettingsError when there is none."""
    try:
        return aws.secret(secret)
    except OffpeakError as error:
        raise SettingsError(f"OFFPEAK_HUB_TOKEN_SECRET: {error.message}") from None


async def live(server: Server, instance: Instance, *, recovers: bool) -> int:
    """Starts the instance, waits for a reason to end, and ends server and engine in order."""
    stop = asyncio.create_task(server.told_to_stop.wait())
    death = asyncio.create_task(_until_dead(instance, recovers=recovers))
    await asyncio.wait({stop, death}, return_when=asyncio.FIRST_COMPLETED)
    logger.info("stopping: %s", "told to" if stop.done() else "the engine is dead")
    instance.stop()
    try:
        await asyncio.wait_for(instance.idle(), IDLE_SECONDS_MAX)
    except TimeoutError:
        logger.warning("not idle after %g s", IDLE_SECONDS_MAX)
    server.should_exit = True
    if not instance.started and not death.done():
        await _abandon_start(death)
    for each in (stop, death):
        each.cancel()
    await asyncio.gather(stop, death, return_exceptions=True)
    await instance.close()
    return OK if server.told_to_stop.is_set() else FAILED


async def _until_dead(instance: Instance, *, recovers: bool) -> None:
    """Returns when the engine doesn't start, or has started and can't answer any more."""
    try:
        await instance.start()
    except EngineDead:
        logger.exception("the engine did not start")
        return
    logger.info("ready")
    while recovers or await instance.alive():  # noqa: ASYNC110 - no engine tells of its death by itself
        await asyncio.sleep(LIVENESS_SECONDS)


async def _abandon_start(starting: asyncio.Task[None]) -> None:
    """A model that is loading can't be told to stop. Without its processes the loading fails; an import goes on, and
    would keep this process for as long as it takes."""
    for child in multiprocessing.active_children():
        child.terminate()
    await asyncio.wait({starting}, timeout=ABANDON_SECONDS_MAX)
    if not starting.done():
        for child in multiprocessing.active_children():
            child.kill()
        logging.shutdown()
        os._exit(OK)


def build_engine(settings: ContainerSettings, model: Model) -> Engine:
    """Engines are imported where they are chosen: vLLM takes ten seconds, and is not there in every environment."""
    if settings.engine == "echo":
        from offpeak.worker.engines.echo import EchoEngine  # noqa: PLC0415

        return EchoEngine(model.id, settings.echo_seconds_per_line)
    if settings.engine == "openai_server" and settings.engine_url is not None:
        from offpeak.worker.engines.openai_server import OpenAIServerEngine  # noqa: PLC0415

        return OpenAIServerEngine(
            settings.engine_url, model.id,
            HttpDestinations(settings.reach, allowed=settings.engine_allowed), server_model=settings.engine_model,
            api_key=settings.engine_api_key,
            completion_tokens_default=model.completion_tokens_default,
        )  # fmt: skip
    from offpeak.worker.engines.vllm import VllmEngine, device_name  # noqa: PLC0415

    device = device_name()
    tuned = tuned_arguments(model, device)
    logger.info("%s: %s", device or "no GPU", dict(tuned) or "vLLM's own defaults")
    return VllmEngine(
        settings.path_of(model), model.id, model.completion_tokens_default,
        {**tuned, **model.engine_arguments, **settings.engine_args},
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
