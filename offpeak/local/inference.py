"""The pools of the deployed inference stacks as the SageMaker stand-in is to serve them, each in its stack's region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from offpeak.core.layout import TOKENIZER_FILE, tokenizer_key
from offpeak.core.model import Model
from offpeak.local.assembly import Stack
from offpeak.local.deploy import Deployed, session_of
from offpeak.local.emulator import REGION
from offpeak.local.sagemaker.__main__ import Served
from offpeak.local.sagemaker.spec import read_endpoint

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Instances:
    """How a local cloud's instances run: `python` is their interpreter, `environment` goes over the template's, `aws`
    is the administrator's environment for the emulator, and under `folder` they keep their logs and temporary files.
    `eager`: the first of a pool starts with it, not with its first work."""

    python: Path
    models_file: Path
    environment: Mapping[str, str]
    aws: Mapping[str, str]
    folder: Path
    eager: bool

    def serve(self, stacks: Sequence[Stack], deployed: Deployed) -> list[Served]:
        """The endpoint of each of these stacks."""
        return [self._serve(stack, deployed) for stack in stacks]

    def _serve(self, stack: Stack, deployed: Deployed) -> Served:
        """Instances in a further region log in a folder of its name: endpoints are named alike in all regions."""
        region = stack.region or REGION
        logs = self.folder / "logs" / (stack.region or "")
        logs.mkdir(parents=True, exist_ok=True)
        return Served(
            spec=read_endpoint(
                stack.template, deployed.exports, deployed.physical[stack.name], region
            ),
            command=(str(self.python), "-m", "containers.vllm.main"),
            environment={
                "PATH": f"{self.python.parent}:/usr/bin:/bin",
                "HOME": str(Path.home()),
                "TMPDIR": str(self.folder / "emulator/tmp"),
                "LANG": "C.UTF-8",
                "PYTHONUNBUFFERED": "1",
                "OFFPEAK_MODELS": str(self.models_file),
                "AWS_SDK_UA_APP_ID": "worker",
                **self.environment,
            },
            aws={**self.aws, "AWS_REGION": region, "AWS_DEFAULT_REGION": region},
            folder=str(ROOT),
            logs=str(logs),
            eager=self.eager,
        )


def stage_tokenizers(models: Sequence[Model], bucket: str, aws: Mapping[str, str]) -> None:
    """Those of models that lie in folders here, as `offpeak models stage` does it on AWS. `aws` is the administrator's
    environment."""
    s3 = session_of(aws).client("s3", endpoint_url=aws["AWS_ENDPOINT_URL"])
    for model in models:
        path = Path(model.source) / TOKENIZER_FILE
        if path.is_file():
            s3.put_object(Bucket=bucket, Key=tokenizer_key(model.pool), Body=path.read_bytes())
