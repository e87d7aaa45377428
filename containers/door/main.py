"""The door's process: binds the ports to AWS, and serves until SIGTERM.

    python -m containers.door.main        (from the repository's root, or with it on PYTHONPATH)

ECS takes the task off the load balancer and lets it finish before it sends SIGTERM; what is still under way has
`drain_seconds` then, of the 120 until SIGKILL, and is given up: parts in S3 are aborted, and no row was written.
"""

from __future__ import annotations

import logging
import os
import sys

import uvicorn

from containers.door.app import create_app
from containers.door.ports import DoorPorts
from containers.door.settings import DoorSettings, SettingsError
from offpeak.aws.connect import Aws

logger = logging.getLogger("offpeak.door")
OK, FAILED = 0, 1


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    logging.getLogger("python_multipart").setLevel(logging.ERROR)  # a broken form is its sender's
    try:
        settings = DoorSettings.from_environment(os.environ)
    except SettingsError as error:
        logger.error("%s", error)
        return FAILED
    serve(Aws.from_environment(), settings)
    return OK


def serve(ports: DoorPorts, settings: DoorSettings) -> None:
    """Returns after SIGTERM or SIGINT."""
    uvicorn.run(
        create_app(ports, settings),
        host=settings.bind_host,
        port=settings.port,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=settings.keep_alive_seconds,
        timeout_graceful_shutdown=settings.drain_seconds,
    )


if __name__ == "__main__":
    sys.exit(main())
