"""What stands before the deployed API: the gateway, and before it the door, each read from its stack."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from offpeak.local.assembly import Stack
from offpeak.local.deploy import Deployed
from offpeak.local.door import assume_role, read_door
from offpeak.local.gateway import Gateway, encode_config
from offpeak.local.processes import ProcessFailed, free_port
from offpeak.local.programs import Programs
from offpeak.local.templates import resources_of

STOP_SECONDS = 20.0
COLD_SECONDS_MAX = 180.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Front:
    """`api` and `door` are the stacks' names, `aws` is the administrator's environment for the emulator; the door is
    what callers know, on `port`."""

    api: str
    door: str
    stacks: Sequence[Stack]
    deployed: Deployed
    aws: Mapping[str, str]
    folder: Path
    port: int

    def start(self, programs: Programs) -> None:
        """Returns when both listen. Raises ProcessFailed."""
        gateway = self._gateway(free_port())
        programs.start_configured(
            "offpeak.local.gateway", encode_config(gateway), gateway.port, STOP_SECONDS
        )
        command = [sys.executable, "-m", "containers.door.main"]
        environment = self._door_environment(f"http://127.0.0.1:{gateway.port}")
        programs.start("door", command, environment, self.port, STOP_SECONDS)

    def wait_for_api(self, http: httpx.Client, api_key: str) -> None:
        """Asks until a request goes all the way, so that the first caller doesn't wait for a cold start. On a machine
        that is busy the gateway may give up on the first. Raises ProcessFailed."""
        give_up_at = time.monotonic() + COLD_SECONDS_MAX
        url, headers = f"http://127.0.0.1:{self.port}", {"Authorization": f"Bearer {api_key}"}
        while not (answer := http.get(f"{url}/v1/models", headers=headers)).is_success:
            if answer.status_code < 500 or time.monotonic() > give_up_at:
                raise ProcessFailed(
                    f"The API answers {answer.status_code}: {answer.text}\n"
                    f"See {self.folder / 'emulator'}."
                )
            time.sleep(0.5)

    def _gateway(self, port: int) -> Gateway:
        outputs, template = self.deployed.outputs[self.api], self._template(self.api)
        [rest_api] = resources_of(template, "AWS::ApiGateway::RestApi").values()
        stage = f"{outputs['RestApiId']}/{outputs['StageName']}"
        return Gateway(
            port=port,
            target=f"{self.aws['AWS_ENDPOINT_URL']}/_aws/execute-api/{stage}",
            answers=list(resources_of(template, "AWS::ApiGateway::GatewayResponse").values()),
            binary_types=rest_api.get("BinaryMediaTypes", []),
        )

    def _door_environment(self, gateway_url: str) -> Mapping[str, str]:
        """The one that its stack gives it, in the role that its stack gives it."""
        template = self._template(self.door)
        spec = read_door(template, self.deployed.exports, self.deployed.physical[self.door])
        return {
            **spec.environment,
            **assume_role(spec, self.aws, self.folder / "door.ini"),
            "OFFPEAK_GATEWAY_URL": gateway_url,
            "OFFPEAK_BIND_HOST": "127.0.0.1",
            "OFFPEAK_PORT": str(self.port),
            "OFFPEAK_DRAIN_SECONDS": "2",
        }

    def _template(self, name: str) -> Mapping[str, object]:
        [template] = [stack.template for stack in self.stacks if stack.name == name]
        return template
