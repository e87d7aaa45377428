"""`python -m offpeak.local.sagemaker CONFIG`: serves the endpoints that the JSON file CONFIG describes."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvicorn

from offpeak.local.sagemaker.app import credentials_path, make_app
from offpeak.local.sagemaker.endpoint import Endpoint
from offpeak.local.sagemaker.instance import Launch
from offpeak.local.sagemaker.results import Results, Role
from offpeak.local.sagemaker.spec import EndpointSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """One endpoint and how its instances start. `environment` goes over the template's; `aws` is the administrator's
    environment for the emulator in the endpoint's region; `folder` is where instances run, `logs` where they log."""

    spec: EndpointSpec
    command: tuple[str, ...]
    environment: dict[str, str]
    aws: dict[str, str]
    folder: str
    logs: str
    eager: bool


def encode_config(port: int, served: list[Served]) -> str:
    return json.dumps({"port": port, "endpoints": [asdict(one) for one in served]})


def _decode(table: dict[str, Any]) -> Served:
    spec = EndpointSpec(**table["spec"])
    return Served(**{**table, "spec": spec, "command": tuple(table["command"])})


def _endpoint(served: Served, port: int) -> Endpoint:
    spec, url = served.spec, served.aws["AWS_ENDPOINT_URL"]
    role = Role(spec.role_arn, served.aws)
    credentials = f"http://127.0.0.1:{port}{credentials_path(spec.region, spec.name)}"

    def launch(current: EndpointSpec) -> Launch:
        """What an update's model says otherwise than the template goes over all else: it was meant."""
        template = spec.environment
        changed = {k: v for k, v in current.environment.items() if template.get(k) != v}
        return Launch(
            command=served.command,
            environment={
                **template,
                "AWS_ENDPOINT_URL": url,
                "AWS_REGION": spec.region,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": credentials,
                **served.environment,
                **changed,
            },
            folder=Path(served.folder),
            log=Path(served.logs) / f"{spec.name}.log",
        )

    return Endpoint(spec, launch, role, Results(role.session(), url), eager=served.eager)


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    config = json.loads(Path(sys.argv[1]).read_text())
    endpoints = [_endpoint(_decode(table), config["port"]) for table in config["endpoints"]]
    uvicorn.run(
        make_app(endpoints),
        host="127.0.0.1",
        port=config["port"],
        log_level="warning",
        timeout_graceful_shutdown=2,
    )


if __name__ == "__main__":
    main()
