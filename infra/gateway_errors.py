"""What API Gateway itself answers when a request never reaches our function, in the envelope of every other answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

GATEWAY_OWN_WORDS = "$context.error.message"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayError:
    """An answer for one of API Gateway's response kinds. `status=None` keeps the status that the gateway chose."""

    kind: str
    message: str
    code: str
    status: int | None = None
    type: str = "invalid_request_error"
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def template(self) -> str:
        """The body, for the gateway to fill in. `messageString` comes quoted and escaped, `message` doesn't."""
        error = {"message": self.message, "type": self.type, "param": None, "code": self.code}
        quoted = json.dumps({"error": error})
        return quoted.replace(f'"{GATEWAY_OWN_WORDS}"', "$context.error.messageString")


_UNAUTHENTICATED = "Your API key is missing or wrong. Send it as `Authorization: Bearer KEY`."

GATEWAY_ERRORS = (
    # Whatever the gateway's kinds don't cover. Its own words are all there is to say.
    GatewayError(kind="DEFAULT_4XX", message=GATEWAY_OWN_WORDS, code="bad_request"),
    GatewayError(
        kind="DEFAULT_5XX",
        message="The server had an error while processing your request. Try again.",
        type="server_error",
        code="server_error",
    ),
    GatewayError(
        kind="REQUEST_TOO_LARGE",
        status=413,
        message="The request is over the limit of 10 MB. For a large file, POST /v1/files with a JSON body of "
        "`filename`, `purpose` and `bytes`, and put its parts at the URLs in the answer.",
        code="request_too_large",
    ),
    # What a REST API says of a method and path that it doesn't have.
    GatewayError(
        kind="MISSING_AUTHENTICATION_TOKEN",
        status=404,
        message="There is nothing at this URL. Paths begin with /v1/.",
        code="unknown_url",
    ),
    GatewayError(
        kind="RESOURCE_NOT_FOUND",
        status=404,
        message="There is nothing at this URL. Paths begin with /v1/.",
        code="unknown_url",
    ),
    GatewayError(
        kind="THROTTLED",
        status=429,
        message="Too many requests at once. Wait a moment and try again.",
        type="rate_limit_error",
        code="rate_limit_exceeded",
        headers={"retry-after": "1"},
    ),
    GatewayError(
        kind="QUOTA_EXCEEDED",
        status=429,
        message="Too many requests. Wait a moment and try again.",
        type="rate_limit_error",
        code="rate_limit_exceeded",
        headers={"retry-after": "1"},
    ),
    GatewayError(
        kind="UNSUPPORTED_MEDIA_TYPE",
        status=415,
        message="This content type isn't supported. Send application/json or multipart/form-data.",
        code="unsupported_media_type",
    ),
    GatewayError(
        kind="BAD_REQUEST_BODY", status=400, message=GATEWAY_OWN_WORDS, code="invalid_request"
    ),
    GatewayError(
        kind="BAD_REQUEST_PARAMETERS", status=400, message=GATEWAY_OWN_WORDS, code="invalid_request"
    ),
    GatewayError(kind="UNAUTHORIZED", status=401, message=_UNAUTHENTICATED, code="invalid_api_key"),
    GatewayError(
        kind="INVALID_API_KEY", status=401, message=_UNAUTHENTICATED, code="invalid_api_key"
    ),
    # An `Authorization` header that looks like an AWS signature ends here.
    GatewayError(
        kind="INVALID_SIGNATURE", status=401, message=_UNAUTHENTICATED, code="invalid_api_key"
    ),
    GatewayError(
        kind="EXPIRED_TOKEN", status=401, message=_UNAUTHENTICATED, code="invalid_api_key"
    ),
    GatewayError(
        kind="ACCESS_DENIED", status=403, message="Access is denied.", code="access_denied"
    ),
    GatewayError(
        kind="WAF_FILTERED",
        status=403,
        message="The request was refused by this deployment's firewall.",
        code="access_denied",
    ),
    GatewayError(
        kind="INTEGRATION_TIMEOUT",
        status=504,
        message="The server took too long to answer. Try again.",
        type="server_error",
        code="timeout",
    ),
    GatewayError(
        kind="INTEGRATION_FAILURE",
        status=502,
        message="The server had an error while processing your request. Try again.",
        type="server_error",
        code="server_error",
    ),
)
