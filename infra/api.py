"""The HTTPS door: a regional REST API that hands every path to the `api` function."""

from __future__ import annotations

import json

from aws_cdk import RemovalPolicy
from aws_cdk import aws_apigateway as apigateway
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_logs as logs
from constructs import Construct

from infra.function import Assets, Function
from infra.gateway_errors import GATEWAY_ERRORS, GatewayError
from infra.rights import Resources
from infra.sizes import Size
from infra.stage import Stage

# API Gateway gives up after 29 s; what hasn't answered by then shouldn't go on either. A full vCPU: parsing a 6 MB
# multipart body is the function's heaviest work.
SIZE = Size(memory_mb=1_769, timeout_seconds=29)

# What an operator asks about a request, and no more of it than its path.
_ACCESS_LOG = {
    "request_id": apigateway.AccessLogField.context_request_id(),
    "time": apigateway.AccessLogField.context_request_time_epoch(),
    "method": apigateway.AccessLogField.context_http_method(),
    "path": apigateway.AccessLogField.context_path(),
    "status": apigateway.AccessLogField.context_status(),
    "response_bytes": apigateway.AccessLogField.context_response_length(),
    "latency_ms": apigateway.AccessLogField.context_response_latency(),
    "integration_latency_ms": apigateway.AccessLogField.context_integration_latency(),
    "error": apigateway.AccessLogField.context_error_response_type(),
}


class Api(Construct):
    """`rest_api`. Keys are checked by the function: a gateway authorizer can't take either of two headers."""

    def __init__(self, scope: Construct, id: str, *, assets: Assets, resources: Resources) -> None:
        super().__init__(scope, id)
        stage = resources.stage
        self._key = resources.key
        self.function = Function(
            self, "Function", folder="api", size=SIZE, assets=assets, resources=resources
        )
        self.rest_api = apigateway.RestApi(
            self,
            "RestApi",
            rest_api_name=f"offpeak-{stage.name}",
            endpoint_types=[apigateway.EndpointType.REGIONAL],
            default_integration=apigateway.LambdaIntegration(
                self.function.resource, allow_test_invoke=False
            ),
            # A file's bytes in a multipart body are not text.
            binary_media_types=["multipart/form-data", "application/octet-stream"],
            cloud_watch_role=not stage.emulated,
            # The role is the whole account's: it must outlive this stage.
            cloud_watch_role_removal_policy=None if stage.emulated else RemovalPolicy.RETAIN,
            deploy_options=self._deploy_options(stage),
            domain_name=self._domain(stage),
        )
        if not stage.emulated:
            self._keep_execution_log(stage)
        self.rest_api.root.add_proxy()
        for error in GATEWAY_ERRORS:
            self._answer(error)

    def _deploy_options(self, stage: Stage) -> apigateway.StageOptions:
        if stage.emulated:
            return apigateway.StageOptions(stage_name=stage.name)
        log_group = logs.LogGroup(
            self,
            "AccessLogs",
            log_group_name=f"/aws/apigateway/{stage.named('access')}",
            retention=stage.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
            encryption_key=self._key,
        )
        return apigateway.StageOptions(
            stage_name=stage.name,
            throttling_rate_limit=stage.requests_per_second,
            throttling_burst_limit=stage.burst,
            access_log_destination=apigateway.LogGroupLogDestination(log_group),
            access_log_format=apigateway.AccessLogFormat.custom(json.dumps(_ACCESS_LOG)),
            logging_level=apigateway.MethodLoggingLevel.ERROR,
            data_trace_enabled=False,  # bodies are prompts
            metrics_enabled=True,
        )

    def _domain(self, stage: Stage) -> apigateway.DomainNameOptions | None:
        """The team's own name for the API. Its DNS record is theirs to make, to the stack's output DomainTarget. Where
        there is a door, the name is the door's."""
        if stage.domain_name is None or stage.certificate_arn is None or stage.door:
            return None
        return apigateway.DomainNameOptions(
            domain_name=stage.domain_name,
            certificate=acm.Certificate.from_certificate_arn(
                self, "Certificate", stage.certificate_arn
            ),
            endpoint_type=apigateway.EndpointType.REGIONAL,
            security_policy=apigateway.SecurityPolicy.TLS_1_2,
        )

    def _keep_execution_log(self, stage: Stage) -> None:
        """API Gateway would make this group itself, and keep it for ever."""
        group = logs.LogGroup(
            self,
            "ExecutionLogs",
            log_group_name=f"API-Gateway-Execution-Logs_{self.rest_api.rest_api_id}/{stage.name}",
            retention=stage.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
            encryption_key=self._key,
        )
        self.rest_api.deployment_stage.node.add_dependency(group)

    def _answer(self, error: GatewayError) -> None:
        self.rest_api.add_gateway_response(
            error.kind.title().replace("_", ""),
            type=apigateway.ResponseType.of(error.kind),
            status_code=str(error.status) if error.status else None,
            response_headers={k: f"'{v}'" for k, v in error.headers.items()} or None,
            templates={"application/json": error.template},
        )
