"""One Lambda function with its role, its log group and its environment."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from aws_cdk import Duration, RemovalPolicy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.bundles import Bundles
from infra.rights import Resources, environment, grant
from infra.roles import ACCESS
from infra.sizes import Size

RUNTIME = lambda_.Runtime.PYTHON_3_13
ARCHITECTURE = lambda_.Architecture.ARM_64


class Assets(Construct):
    """The code of all functions and the layer with what they depend on: once a stack, since an export of the one
    stack's layer version could not change while the other uses it. The tokenizers' library is a layer that only the
    stacks have whose functions ask for it."""

    def __init__(self, scope: Construct, id: str, *, bundles: Bundles) -> None:
        super().__init__(scope, id)
        self.code = lambda_.Code.from_asset(str(bundles.code))
        self._bundles = bundles
        self.layer = self._layer("Dependencies", bundles.layer, "requirements-lambda.txt")

    @cached_property
    def tokenizers(self) -> lambda_.LayerVersion:
        return self._layer("Tokenizers", self._bundles.tokenizers, "requirements-tokenizers.txt")

    def _layer(self, id: str, folder: Path, lock: str) -> lambda_.LayerVersion:
        return lambda_.LayerVersion(
            self,
            id,
            code=lambda_.Code.from_asset(str(folder)),
            compatible_runtimes=[RUNTIME],
            compatible_architectures=[ARCHITECTURE],
            description=f"What {lock} locks",
        )


class Function(Construct):
    """The function whose handler is `lambdas/{folder}/handler.py`, with the rights that ACCESS gives it.

    Its environment holds the addresses of what it may touch, and `settings`.
    """

    def __init__(
        self,
        scope: Construct,
        id: str,
        *,
        folder: str,
        size: Size,
        assets: Assets,
        resources: Resources,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(scope, id)
        stage = resources.stage
        name = stage.named(folder.replace("_", "-"))
        access = ACCESS[folder]
        log_group = logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/lambda/{name}",
            retention=stage.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
            encryption_key=resources.key,
        )
        self.role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
        log_group.grant_write(self.role)
        grant(self.role, access, resources)
        self.resource = lambda_.Function(
            self,
            "Function",
            function_name=name,
            handler=f"lambdas.{folder}.handler.handler",
            code=assets.code,
            layers=[assets.layer, *([assets.tokenizers] if access.counts_tokens else [])],
            runtime=RUNTIME,
            architecture=ARCHITECTURE,
            memory_size=size.memory_mb,
            timeout=Duration.seconds(size.timeout_seconds),
            role=self.role,
            log_group=log_group,
            environment={
                **environment(access, resources),
                "OFFPEAK_POOLS": ",".join(resources.pools),
                **(settings or {}),
            },
        )
