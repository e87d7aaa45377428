from datetime import UTC, datetime, timedelta

from offpeak.local.sagemaker.invocation import Invocation, notice
from offpeak.local.sagemaker.spec import EndpointSpec

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = EndpointSpec(
    name="offpeak-local-tiny", config_name="c", variant="v", role_arn="r", environment={},
    concurrency=1, output_path="s3://b/async", failure_path=None, success_topic=None,
    error_topic=None, instances_initial=1, instances_max=1,
)  # fmt: skip


def test_an_invocation_expires_after_its_time_to_live_in_the_queue() -> None:
    invocation = Invocation(inference_id="i", object_name="o", ttl_seconds=60, received_at=NOW)
    assert not invocation.expired(NOW + timedelta(seconds=60))
    assert invocation.expired(NOW + timedelta(seconds=61))


def test_results_lie_under_the_output_path_and_its_extension() -> None:
    plain = Invocation(inference_id="i", object_name="o")
    nested = Invocation(inference_id="i", object_name="o", extension="a/b/")
    assert plain.output_location(SPEC) == "s3://b/async/o.out"
    assert nested.output_location(SPEC) == "s3://b/async/a/b/o.out"
    assert plain.failure_location(SPEC) is None


def test_a_failure_notice_says_why_and_names_no_output() -> None:
    message = notice(SPEC, Invocation(inference_id="i", object_name="o"), "Expired", "too late")
    assert message["invocationStatus"] == "Expired"
    assert message["failureReason"] == "too late"
    assert "responseParameters" not in message
