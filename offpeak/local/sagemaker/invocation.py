"""One asynchronous invocation: what was asked, where its result goes, and the notice that tells how it ended."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from offpeak.local.sagemaker.spec import EndpointSpec

INLINE_BYTES_MAX = 128_000
TTL_SECONDS_MIN, TTL_SECONDS_MAX = 60, 21_600
TIMEOUT_SECONDS_DEFAULT, TIMEOUT_SECONDS_MAX = 900, 3_600
Status = Literal["Completed", "Failed", "Expired"]


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """Times out after `timeout_seconds` on an instance; expires after `ttl_seconds` in the queue."""

    inference_id: str
    object_name: str
    body: bytes | None = None
    input_location: str | None = None
    content_type: str = "application/octet-stream"
    accept: str | None = None
    custom_attributes: str | None = None
    ttl_seconds: int = TTL_SECONDS_MAX
    timeout_seconds: int = TIMEOUT_SECONDS_DEFAULT
    extension: str = ""
    received_at: datetime = field(default_factory=_now)

    def expired(self, now: datetime) -> bool:
        return (now - self.received_at).total_seconds() > self.ttl_seconds

    def output_location(self, spec: EndpointSpec) -> str:
        return f"{self._folder(spec.output_path)}/{self.object_name}.out"

    def failure_location(self, spec: EndpointSpec) -> str | None:
        if spec.failure_path is None:
            return None
        return f"{self._folder(spec.failure_path)}/{self.object_name}-error.out"

    def _folder(self, path: str) -> str:
        return f"{path}/{self.extension.strip('/')}" if self.extension else path

    @property
    def headers(self) -> dict[str, str]:
        """What SageMaker passes on to the container."""
        optional = {
            "Accept": self.accept,
            "X-Amzn-SageMaker-Custom-Attributes": self.custom_attributes,
        }
        return {
            "Content-Type": self.content_type,
            "X-Amzn-SageMaker-Inference-Id": self.inference_id,
            **{name: value for name, value in optional.items() if value is not None},
        }


def notice(
    spec: EndpointSpec, invocation: Invocation, status: Status, failure_reason: str | None = None
) -> dict[str, Any]:
    """The message that the success or error topic gets."""
    parameters = {"endpointName": spec.name, "inputLocation": invocation.input_location}
    answer: dict[str, Any] = {
        "awsRegion": spec.region,
        "eventTime": _stamp(_now()),
        "receivedTime": _stamp(invocation.received_at),
        "invocationStatus": status,
        "requestParameters": {k: v for k, v in parameters.items() if v is not None},
        "inferenceId": invocation.inference_id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    if status == "Completed":
        answer["responseParameters"] = {
            "contentType": "application/json",
            "outputLocation": invocation.output_location(spec),
        }
    else:
        answer["failureReason"] = failure_reason
    return answer


def test_notification(spec: EndpointSpec) -> dict[str, Any]:
    """What SageMaker sends to both topics when an endpoint is created or its capacity changes."""
    return {
        "awsRegion": spec.region,
        "eventTime": _stamp(_now()),
        "requestParameters": {"endpointName": spec.name},
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "TestNotification",
    }


def _stamp(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
