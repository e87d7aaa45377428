"""The stand-in, spoken to by boto3, with the emulator's S3, SNS and SQS around it."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
import urllib.request
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import ClientError

from offpeak.local.emulator import Emulator
from offpeak.local.processes import Process, answers, free_port
from offpeak.local.sagemaker.__main__ import Served, encode_config
from offpeak.local.sagemaker.scaling import DIMENSION
from offpeak.local.sagemaker.spec import EndpointSpec
from tests.local.endpoint_update import begin_update

pytestmark = pytest.mark.cloud
ROOT = Path(__file__).parents[2]


class World:
    """A stand-in with one endpoint of one instance with two slots, and a queue that hears both topics."""

    def __init__(self, emulator: Emulator, folder: Path) -> None:
        self.name = f"pool-{uuid.uuid4().hex[:8]}"
        self._environment = emulator.environment
        self.heard: set[str] = set()
        self.s3 = self._client("s3")
        self.s3.create_bucket(Bucket=self.name)
        self._sqs = self._client("sqs")
        self._queue = self._sqs.create_queue(QueueName=self.name)["QueueUrl"]
        port = free_port()
        self.spec = self._spec()
        served = Served(
            spec=self.spec,
            command=(sys.executable, str(Path(__file__).with_name("worker_double.py"))),
            environment={"FROM": "the launcher"},
            aws=emulator.environment,
            folder=str(ROOT),
            logs=str(folder),
            eager=True,
        )
        config = folder / "sagemaker.json"
        config.write_text(encode_config(port, [served]))
        self.url = f"http://127.0.0.1:{port}"
        self.process = Process(
            "The stand-in",
            [sys.executable, "-m", "offpeak.local.sagemaker", config],
            log=folder / "sagemaker.log",
            environment=dict(os.environ),
            cwd=ROOT,
        )
        self.process.wait_until(lambda: answers(port), 30)
        self.runtime = self._client("sagemaker-runtime", self.url)
        self.sagemaker = self._client("sagemaker", self.url)
        self.scaling = self._client("application-autoscaling", self.url)

    def _spec(self) -> EndpointSpec:
        sns = self._client("sns")
        topics = [sns.create_topic(Name=f"{self.name}-{end}")["TopicArn"] for end in ("ok", "bad")]
        for topic in topics:
            sns.subscribe(
                TopicArn=topic, Protocol="sqs",
                Endpoint=f"arn:aws:sqs:us-east-1:000000000000:{self.name}",
            )  # fmt: skip
        trust = {
            "Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"Service": "sagemaker.amazonaws.com"},
        }  # fmt: skip
        role = self._client("iam").create_role(
            RoleName=self.name, AssumeRolePolicyDocument=json.dumps({"Statement": [trust]})
        )["Role"]
        return EndpointSpec(
            name=self.name,
            config_name=self.name,
            variant="AllTraffic",
            role_arn=role["Arn"],
            environment={"FROM": "the template", "OFFPEAK_STAGE": "local"},
            concurrency=2,
            output_path=f"s3://{self.name}/out",
            failure_path=f"s3://{self.name}/failed",
            success_topic=topics[0],
            error_topic=topics[1],
            instances_initial=1,
            instances_max=1,
        )

    def _client(self, service: Any, url: str | None = None) -> Any:
        return boto3.client(
            service, endpoint_url=url or self._environment["AWS_ENDPOINT_URL"],
            aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1",
        )  # fmt: skip

    def invoke(self, order: dict[str, Any], **more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = self.runtime.invoke_endpoint_async(
            EndpointName=self.name, Body=json.dumps(order).encode(),
            ContentType="application/json", **more,
        )  # fmt: skip
        return answer

    def next_notice(self, inference_id: str, seconds: float = 60) -> dict[str, Any]:
        """The next message of this invocation; others are heard, and dropped."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            got = self._sqs.receive_message(QueueUrl=self._queue, WaitTimeSeconds=1)
            for message in got.get("Messages", []):
                self._sqs.delete_message(
                    QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"]
                )
                notice: dict[str, Any] = json.loads(json.loads(message["Body"])["Message"])
                self.heard.add(notice.get("inferenceId", ""))
                if notice.get("inferenceId") == inference_id:
                    return notice
        raise AssertionError(f"no notice of {inference_id} within {seconds} s")

    def instances(self) -> list[dict[str, Any]]:
        with urllib.request.urlopen(f"{self.url}/_local/instances") as answer:
            return list(json.load(answer))

    def in_flight_until(self, inference_id: str) -> set[int]:
        """How many invocations its instance had at once, looked at again and again until the notice of this one."""
        seen: set[int] = set()
        with ThreadPoolExecutor() as pool:
            noticed = pool.submit(self.next_notice, inference_id)
            while not noticed.done():
                seen |= {instance["in_flight"] for instance in self.instances()}
                time.sleep(0.02)
        assert noticed.result()["invocationStatus"] == "Completed"
        return seen

    def wait_for_work(self) -> None:
        deadline = time.monotonic() + 60
        while not any(instance["in_flight"] for instance in self.instances()):
            assert time.monotonic() < deadline, "no instance has taken the work"
            time.sleep(0.02)

    def read(self, location: str) -> bytes:
        bucket, _, key = location.removeprefix("s3://").partition("/")
        return bytes(self.s3.get_object(Bucket=bucket, Key=key)["Body"].read())

    def bound(self, least: int, most: int) -> None:
        self.scaling.register_scalable_target(**self._target(), MinCapacity=least, MaxCapacity=most)

    def bound_later(self, schedule: str, least: int, most: int) -> None:
        action = {"MinCapacity": least, "MaxCapacity": most}
        self.scaling.put_scheduled_action(
            **self._target(), ScheduledActionName="later", Schedule=schedule,
            ScalableTargetAction=action,
        )  # fmt: skip

    def _target(self) -> dict[str, str]:
        return {
            "ServiceNamespace": "sagemaker",
            "ResourceId": f"endpoint/{self.name}/variant/AllTraffic",
            "ScalableDimension": "sagemaker:variant:DesiredInstanceCount",
        }

    def wait_for_instances(self, count: int) -> list[int]:
        """The pids, once so many serve and no other goes on."""
        deadline = time.monotonic() + 120
        while len(found := self.instances()) != count or not all(i["ready"] for i in found):
            assert time.monotonic() < deadline, f"{found}, not {count} instances"
            time.sleep(0.05)
        return [instance["pid"] for instance in found]

    def wait_for_instance(self, other_than: int = 0) -> int:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            pids = [i["pid"] for i in self.instances() if i["ready"] and i["pid"] != other_than]
            if pids:
                return int(pids[0])
            time.sleep(0.05)
        raise AssertionError("no instance became ready")


@pytest.fixture(scope="module")
def world(emulator: Emulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(emulator, tmp_path_factory.mktemp("sagemaker"))
    yield world
    world.process.stop(40)


def test_an_answer_becomes_an_object_and_a_notice(world: World) -> None:
    accepted = world.invoke({"do": "answer"}, InferenceId="b.0.1.1")
    assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert accepted["InferenceId"] == "b.0.1.1"
    notice = world.next_notice("b.0.1.1")
    assert notice["invocationStatus"] == "Completed"
    assert notice["eventName"] == "InferenceResult"
    assert notice["requestParameters"] == {"endpointName": world.name}
    assert notice["responseParameters"]["outputLocation"] == accepted["OutputLocation"]
    told = json.loads(world.read(accepted["OutputLocation"]))
    assert told["order"] == {"do": "answer"}
    assert told["headers"]["Content-Type"] == "application/json"
    assert told["environment"]["OFFPEAK_STAGE"] == "local"
    assert told["environment"]["FROM"] == "the launcher"
    assert "PATH" not in told["environment"]
    with urllib.request.urlopen(
        told["environment"]["AWS_CONTAINER_CREDENTIALS_FULL_URI"]
    ) as credentials:
        assert set(json.load(credentials)) == {
            "AccessKeyId", "SecretAccessKey", "Token", "Expiration",
        }  # fmt: skip


def test_input_may_lie_in_s3(world: World) -> None:
    world.s3.put_object(Bucket=world.name, Key="in/1", Body=b'{"do": "answer"}')
    accepted = world.runtime.invoke_endpoint_async(
        EndpointName=world.name, InputLocation=f"s3://{world.name}/in/1", InferenceId="in-s3"
    )
    notice = world.next_notice("in-s3")
    assert notice["requestParameters"]["inputLocation"] == f"s3://{world.name}/in/1"
    assert json.loads(world.read(accepted["OutputLocation"]))["order"] == {"do": "answer"}


def test_an_error_of_the_container_is_told_with_its_words(world: World) -> None:
    accepted = world.invoke({"do": "fail"}, InferenceId="failing")
    notice = world.next_notice("failing")
    assert notice["invocationStatus"] == "Failed"
    assert "500" in notice["failureReason"]
    assert "the engine is dead" in notice["failureReason"]
    assert world.read(accepted["FailureLocation"]) == b"the engine is dead"


def test_an_answer_without_content_length_is_a_failure(world: World) -> None:
    world.invoke({"do": "chunk"}, InferenceId="chunked")
    notice = world.next_notice("chunked")
    assert notice["invocationStatus"] == "Failed"
    assert "Content-Length" in notice["failureReason"]


def test_an_invocation_that_takes_too_long_fails(world: World) -> None:
    world.invoke({"do": "answer", "seconds": 3}, InferenceId="slow", InvocationTimeoutSeconds=1)
    notice = world.next_notice("slow")
    assert notice["invocationStatus"] == "Failed"
    assert "within 1 s" in notice["failureReason"]


def test_no_more_invocations_run_on_an_instance_than_the_template_says(world: World) -> None:
    world.wait_for_instance()
    for number in range(4):
        world.invoke({"do": "answer", "seconds": 2}, InferenceId=f"many-{number}")
    seen = world.in_flight_until("many-3")
    assert max(seen) == 2


def test_an_instance_that_dies_takes_its_work_along_and_is_replaced(world: World) -> None:
    pid = world.wait_for_instance()
    world.invoke({"do": "answer", "seconds": 600}, InferenceId="lost")
    world.wait_for_work()
    _signal(world, pid, "SIGKILL")
    assert world.wait_for_instance(other_than=pid) != pid
    world.invoke({"do": "answer"}, InferenceId="after")
    assert world.next_notice("after")["invocationStatus"] == "Completed"
    assert "lost" not in world.heard


def test_a_container_that_exits_in_the_middle_loses_its_work(world: World) -> None:
    pid = world.wait_for_instance()
    world.invoke({"do": "die"}, InferenceId="suicide")
    world.wait_for_instance(other_than=pid)
    world.invoke({"do": "answer"}, InferenceId="next")
    assert world.next_notice("next")["invocationStatus"] == "Completed"
    assert "suicide" not in world.heard


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"EndpointName": "nobody", "Body": b"x"}, "Endpoint nobody of account .* not found"),
        ({"Body": b"x" * 128_001}, "128001 bytes"),
        ({"InputLocation": "s3://b/k", "Body": b"x"}, "either InputLocation or Body"),
        ({"Body": b"x", "RequestTTLSeconds": 59}, "60 to 21600"),
        ({"Body": b"x", "InvocationTimeoutSeconds": 3601}, "1 to 3600"),
        ({"Body": b"x", "InferenceId": "i" * 65}, "64 characters"),
    ],
)
def test_what_sagemaker_refuses_is_refused(
    world: World, wrong: dict[str, Any], message: str
) -> None:
    lenient = Config(parameter_validation=False)
    runtime = boto3.client(
        "sagemaker-runtime", endpoint_url=world.url, aws_access_key_id="test",
        aws_secret_access_key="test", region_name="us-east-1", config=lenient,
    )  # fmt: skip
    with pytest.raises(ClientError, match=message) as refusal:
        runtime.invoke_endpoint_async(**{"EndpointName": world.name, **wrong})
    assert refusal.value.response["Error"]["Code"] == "ValidationError"
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_the_endpoint_is_described(world: World) -> None:
    world.wait_for_instance()
    answer = world.sagemaker.describe_endpoint(EndpointName=world.name)
    assert answer["EndpointStatus"] == "InService"
    assert answer["ProductionVariants"][0]["CurrentInstanceCount"] == 1


def test_a_call_knows_the_endpoints_of_the_region_that_it_is_signed_for(world: World) -> None:
    """However many regions are served at this address."""
    elsewhere: dict[str, Any] = {
        "aws_access_key_id": "test", "aws_secret_access_key": "test",
        "region_name": "eu-north-1", "endpoint_url": world.url,
    }  # fmt: skip
    sagemaker = boto3.client("sagemaker", **elsewhere)
    with pytest.raises(ClientError, match=f"Endpoint {world.name} .* not found"):
        sagemaker.describe_endpoint(EndpointName=world.name)
    runtime = boto3.client("sagemaker-runtime", **elsewhere)
    with pytest.raises(ClientError, match="not found"):
        runtime.invoke_endpoint_async(EndpointName=world.name, Body=b"{}")
    scaling: Any = boto3.client("application-autoscaling", **elsewhere)
    with pytest.raises(ClientError, match="No scalable target"):
        scaling.register_scalable_target(
            ServiceNamespace="sagemaker", ScalableDimension=DIMENSION, MinCapacity=0,
            MaxCapacity=1, ResourceId=f"endpoint/{world.name}/variant/AllTraffic",
        )  # fmt: skip
    unsigned = boto3.client(
        "sagemaker-runtime", **elsewhere, config=Config(signature_version=UNSIGNED)
    )
    with pytest.raises(ClientError, match="not signed"):
        unsigned.invoke_endpoint_async(EndpointName=world.name, Body=b"{}")


def test_bounds_move_the_capacity_to_zero_and_back(world: World) -> None:
    old = world.wait_for_instance()
    world.bound(0, 0)
    world.wait_for_instances(0)
    with pytest.raises(ProcessLookupError):
        os.kill(old, 0)
    world.invoke({"do": "answer"}, InferenceId="asleep")
    [variant] = _settled(world)["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (0, 0)
    world.bound(2, 2)
    two = world.wait_for_instances(2)
    assert world.next_notice("asleep")["invocationStatus"] == "Completed"
    world.bound(1, 1)
    [left] = world.wait_for_instances(1)
    assert left in two


def test_within_its_bounds_the_capacity_stays_where_it_is(world: World) -> None:
    world.bound(1, 1)
    [pid] = world.wait_for_instances(1)
    world.bound(0, 4)
    assert _settled(world)["ProductionVariants"][0]["DesiredInstanceCount"] == 1
    assert world.wait_for_instances(1) == [pid]


def test_a_scheduled_action_bounds_once_its_time_has_come(world: World) -> None:
    world.bound(1, 1)
    world.wait_for_instances(1)
    world.bound_later("at(2999-01-01T00:00:00)", 0, 0)
    world.wait_for_instances(1)
    world.bound_later("at(2001-01-01T00:00:00)", 2, 2)  # instead of the first
    world.wait_for_instances(2)
    left = world.scaling.describe_scheduled_actions(
        ServiceNamespace="sagemaker", ResourceId=f"endpoint/{world.name}/variant/AllTraffic"
    )
    assert left["ScheduledActions"] == []
    world.bound(1, 1)
    world.wait_for_instances(1)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"MinCapacity": 2, "MaxCapacity": 1}, "cannot be less"),
        ({"ResourceId": "endpoint/nobody/variant/AllTraffic"}, "No scalable target"),
        ({"ResourceId": "service/x"}, "no endpoint"),
        ({"ServiceNamespace": "ecs"}, "sagemaker alone"),
    ],
)
def test_what_application_auto_scaling_refuses_is_refused(
    world: World, wrong: dict[str, Any], message: str
) -> None:
    asked = {
        "ServiceNamespace": "sagemaker", "ScalableDimension": DIMENSION, "MinCapacity": 0,
        "ResourceId": f"endpoint/{world.name}/variant/AllTraffic", "MaxCapacity": 1,
    }  # fmt: skip
    with pytest.raises(ClientError, match=message):
        world.scaling.register_scalable_target(**{**asked, **wrong})


def _settled(world: World) -> dict[str, Any]:
    """The endpoint's description, once it is in service."""
    deadline = time.monotonic() + 120
    while True:
        answer: dict[str, Any] = world.sagemaker.describe_endpoint(EndpointName=world.name)
        if answer["EndpointStatus"] == "InService":
            return answer
        assert time.monotonic() < deadline, "the endpoint is still being updated"
        time.sleep(0.1)


def test_an_update_brings_a_new_fleet_up_before_the_old_one_goes(world: World) -> None:
    old = world.wait_for_instance()
    begin_update(world.sagemaker, world.spec, "newer", {"FROM": "the update"})
    assert _settled(world)["EndpointConfigName"] == "newer"
    assert [i["pid"] for i in world.instances() if i["ready"]] != [old]
    accepted = world.invoke({"do": "answer"}, InferenceId="updated")
    assert world.next_notice("updated")["invocationStatus"] == "Completed"
    told = json.loads(world.read(accepted["OutputLocation"]))
    assert told["pid"] != old
    assert told["environment"]["FROM"] == "the update"
    assert told["environment"]["OFFPEAK_STAGE"] == "local"
    with pytest.raises(ProcessLookupError):
        os.kill(old, 0)


def test_a_new_fleet_that_does_not_come_up_is_let_go_and_the_old_one_serves_on(
    world: World,
) -> None:
    old = world.wait_for_instance()
    before = _settled(world)["EndpointConfigName"]
    begin_update(world.sagemaker, world.spec, "broken", {"NEVER_READY": "1"})
    deadline = time.monotonic() + 60
    while not (new := [i["pid"] for i in world.instances() if i["pid"] != old]):
        assert time.monotonic() < deadline, "no new instance has started"
        time.sleep(0.05)
    with pytest.raises(ClientError, match="is being updated"):
        world.sagemaker.update_endpoint(EndpointName=world.name, EndpointConfigName="broken")
    world.invoke({"do": "answer"}, InferenceId="meanwhile")
    assert world.next_notice("meanwhile")["invocationStatus"] == "Completed"
    _signal(world, new[0], "SIGKILL")
    after = _settled(world)
    assert after["EndpointConfigName"] == before
    assert "did not pass its health check" in after["FailureReason"]
    assert world.wait_for_instance() == old


def test_an_update_to_a_configuration_that_is_not_there_is_refused(world: World) -> None:
    with pytest.raises(ClientError, match="Could not find endpoint configuration nowhere"):
        world.sagemaker.update_endpoint(EndpointName=world.name, EndpointConfigName="nowhere")


def test_sigterm_stops_the_instances_too(emulator: Emulator, tmp_path: Path) -> None:
    world = World(emulator, tmp_path)
    pid = world.wait_for_instance()
    os.kill(world.process.pid, signal.SIGTERM)
    deadline = time.monotonic() + 60
    while world.process.running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not world.process.running
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    world.process.stop()


def _signal(world: World, pid: int, name: str) -> None:
    request = urllib.request.Request(
        f"{world.url}/_local/instances/{pid}", json.dumps({"signal": name}).encode()
    )
    with urllib.request.urlopen(request) as answer:
        assert answer.status == 200
