from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from aws_cdk import aws_apigateway as apigateway

from infra.gateway_errors import GATEWAY_ERRORS, GatewayError
from tests.infra.synthesised import Synthesised

# Of authorizers and the gateway's own configuration, which this API doesn't have: the defaults answer for them.
LEFT_TO_DEFAULTS = {
    "API_CONFIGURATION_ERROR", "AUTHORIZER_CONFIGURATION_ERROR", "AUTHORIZER_FAILURE",
}  # fmt: skip


@pytest.fixture
def answers(prod: Synthesised) -> Mapping[str, Mapping[str, Any]]:
    found = prod.templates["api"].find_resources("AWS::ApiGateway::GatewayResponse").values()
    return {a["Properties"]["ResponseType"]: a["Properties"] for a in found}


def _filled(template: str) -> Any:
    """The body as the gateway sends it."""
    return json.loads(template.replace("$context.error.messageString", '"the \\"gateway\\" says"'))


def test_the_api_alone_has_the_tokenizers_layer(prod: Synthesised) -> None:
    (function,) = prod.templates["api"].find_resources("AWS::Lambda::Function").values()
    layers = prod.templates["api"].find_resources("AWS::Lambda::LayerVersion")
    described = {
        layers[each["Ref"]]["Properties"]["Description"]
        for each in function["Properties"]["Layers"]
    }
    assert described == {
        "What requirements-lambda.txt locks",
        "What requirements-tokenizers.txt locks",
    }
    others = prod.templates["lifecycle"].find_resources("AWS::Lambda::LayerVersion").values()
    assert [each["Properties"]["Description"] for each in others] == [
        "What requirements-lambda.txt locks"
    ]


def test_every_path_and_method_goes_to_the_one_function(prod: Synthesised) -> None:
    template = prod.templates["api"]
    template.has_resource_properties("AWS::ApiGateway::Resource", {"PathPart": "{proxy+}"})
    methods = template.find_resources("AWS::ApiGateway::Method").values()
    assert {m["Properties"]["HttpMethod"] for m in methods} == {"ANY"}
    assert {m["Properties"]["Integration"]["Type"] for m in methods} == {"AWS_PROXY"}
    template.has_resource_properties(
        "AWS::Lambda::Function",
        {"FunctionName": "offpeak-prod-api", "Handler": "lambdas.api.handler.handler"},
    )


def test_files_arrive_as_bytes(prod: Synthesised) -> None:
    prod.templates["api"].has_resource_properties(
        "AWS::ApiGateway::RestApi",
        {
            "Name": "offpeak-prod",
            "BinaryMediaTypes": ["multipart/form-data", "application/octet-stream"],
            "EndpointConfiguration": {"Types": ["REGIONAL"]},
        },
    )


def test_every_kind_of_answer_that_the_gateway_gives_is_ours(
    answers: Mapping[str, Mapping[str, Any]],
) -> None:
    kinds = {
        value.response_type
        for name in dir(apigateway.ResponseType)
        if isinstance(value := getattr(apigateway.ResponseType, name), apigateway.ResponseType)
    }
    assert set(answers) == kinds - LEFT_TO_DEFAULTS
    assert {"DEFAULT_4XX", "DEFAULT_5XX"} <= set(answers)


@pytest.mark.parametrize("error", GATEWAY_ERRORS, ids=lambda error: error.kind)
def test_the_gateways_answers_use_the_error_envelope(
    error: GatewayError, answers: Mapping[str, Mapping[str, Any]]
) -> None:
    body = _filled(answers[error.kind]["ResponseTemplates"]["application/json"])
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    assert "$" not in body["error"]["message"]


def test_statuses_are_those_of_the_openai_api(answers: Mapping[str, Mapping[str, Any]]) -> None:
    statuses = {kind: answer.get("StatusCode") for kind, answer in answers.items()}
    assert statuses["REQUEST_TOO_LARGE"] == "413"
    assert statuses["THROTTLED"] == "429"
    assert statuses["MISSING_AUTHENTICATION_TOKEN"] == "404"
    assert statuses["INVALID_SIGNATURE"] == "401"
    assert statuses["INTEGRATION_TIMEOUT"] == "504"
    assert statuses["DEFAULT_4XX"] is None  # as the gateway chose


def test_a_throttled_client_is_told_when_to_come_back(
    answers: Mapping[str, Mapping[str, Any]],
) -> None:
    assert answers["THROTTLED"]["ResponseParameters"] == {
        "gatewayresponse.header.retry-after": "'1'"
    }


def test_prod_throttles_and_logs_accesses_but_no_bodies(prod: Synthesised) -> None:
    stages = prod.templates["api"].find_resources("AWS::ApiGateway::Stage").values()
    [stage] = [stage["Properties"] for stage in stages]
    [settings] = stage["MethodSettings"]
    assert settings["ThrottlingRateLimit"] == 1_000
    assert settings["ThrottlingBurstLimit"] == 2_000
    assert settings["DataTraceEnabled"] is False
    assert set(json.loads(stage["AccessLogSetting"]["Format"])) == {
        "request_id", "time", "method", "path", "status", "response_bytes", "latency_ms",
        "integration_latency_ms", "error",
    }  # fmt: skip


def test_the_accounts_gateway_role_outlives_the_stage(prod: Synthesised) -> None:
    account = prod.templates["api"].find_resources("AWS::ApiGateway::Account").values()
    assert [a["DeletionPolicy"] for a in account] == ["Retain"]


def test_the_emulators_api_neither_throttles_nor_logs(local: Synthesised) -> None:
    stages = local.templates["api"].find_resources("AWS::ApiGateway::Stage").values()
    [stage] = [stage["Properties"] for stage in stages]
    assert "MethodSettings" not in stage
    assert "AccessLogSetting" not in stage


def test_the_api_tells_its_address(local: Synthesised) -> None:
    assert {"BaseUrl", "RestApiId", "StageName"} <= set(local.json("api")["Outputs"])
