"""Off-peak on the local cloud, its clock compressed to slots of a minute: a batch waits for its hours, instances come
and go with it. The middle lasts until the test ends it: hours stay dear until another price curve says otherwise. The
second model has a pool in a second region, too."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import boto3
import pytest

from offpeak.aws.connect import Aws
from offpeak.core.catalogue import parse_catalogue
from offpeak.core.errors import NotFound
from offpeak.core.invocation import Outcome
from offpeak.core.layout import attempt_report_key
from offpeak.core.model import Elsewhere
from offpeak.core.plan import Override, OverrideKind
from offpeak.core.pool import ModelPools, pool_id
from offpeak.core.shard import Shard
from offpeak.local.cloud import LocalCloud
from offpeak.local.models import TINY_CHAT, TINY_EMBED, pool_name
from offpeak.steps.override_pool import override_pool
from offpeak.steps.set_regions import set_regions
from offpeak.wire.invocation import decode_report
from tests.e2e.caller import Caller
from tests.e2e.deployment import call_function, client_of, connect, make_caller
from tests.e2e.follow import completed, until, until_ended
from tests.e2e.lines import assert_each_once_in_input_order, chat_line, chat_lines, jsonl, parse

pytestmark = [pytest.mark.cloud]

HOUR = 3_600
REGION, FAR = "us-east-1", "eu-north-1"
POOL, ROAMING = pool_name(TINY_CHAT), pool_name(TINY_EMBED)
ANSWERS = f"offpeak-local-000000000000-{FAR}"
LINES = chat_lines(16, "night")
ROAMING_LINES = [{**line, "body": {**line["body"], "model": TINY_EMBED}} for line in LINES]
SECONDS_MAX = 300.0


@pytest.fixture(scope="module")
def sleeper(
    emulator_python: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LocalCloud]:
    """Pools that may go to zero, of two workers at most, each with one shard of four lines at a time. Roles are
    enforced: a worker elsewhere has the rights of its own."""
    with LocalCloud(
        folder=tmp_path_factory.mktemp("sleeper"),
        model_fields={
            "instances_min": 0, "instances_max": 2, "concurrency": 1, "shard_lines_max": 4,
        },
        regions={TINY_EMBED: {FAR: Elsewhere()}}, auth=True, emulator_python=emulator_python,
    ) as cloud:  # fmt: skip
        yield cloud


@pytest.fixture(scope="module")
def ports(sleeper: LocalCloud) -> Aws:
    return connect(sleeper)


def hours_cost(cloud: LocalCloud, ports: Aws, *factors: float) -> None:
    """What instances cost of their price, in this hour and those that follow; the last for the rest of the day. A plan
    is for 192 minutes here: what is to wait finds cheap ones among them if two hours are dear, in whatever minute of
    the first it is asked for; if three are, it doesn't in the first minutes of an hour."""
    begin = int(time.time()) // HOUR * HOUR
    steps = [*factors, *[factors[-1]] * (24 - len(factors))]
    rows = [
        f"{datetime.fromtimestamp(begin + n * HOUR, UTC):%Y-%m-%dT%H:%M:%SZ},{factor}"
        for n, factor in enumerate(steps)
    ]
    curve = "\n".join(["start,factor", *rows]) + "\n"
    ports.writer.put(f"signals/{REGION}/price.csv", curve.encode(), "text/csv")
    call_function(cloud, "fetch-signals", {})


def look(cloud: LocalCloud) -> None:
    """What the clock does each minute."""
    call_function(cloud, "plan-capacity", {})
    call_function(cloud, "sweep", {})


def pools(ports: Aws, pool: str = POOL) -> ModelPools:
    try:
        return ports.pools.get(pool)
    except NotFound:
        return ModelPools(id="")


def workers(cloud: LocalCloud, pool: str = POOL, region: str = REGION) -> int:
    place = (f"offpeak-local-{pool}", region)
    return sum((worker["endpoint"], worker["region"]) == place for worker in cloud.workers())


def wait_until(
    reached: Callable[[], bool], what: str, meanwhile: Callable[[], None] = lambda: None
) -> None:
    give_up_at = time.monotonic() + SECONDS_MAX
    while not reached():
        assert time.monotonic() < give_up_at, f"not within {SECONDS_MAX} s: {what}"
        meanwhile()
        time.sleep(0.3)


def test_a_batch_waits_for_its_slot_and_instances_go_from_zero_to_some_to_zero(
    sleeper: LocalCloud, ports: Aws
) -> None:
    hours_cost(sleeper, ports, 20.0, 20.0, 1.0)
    wait_until(lambda: workers(sleeper) == 0, "nothing to do", lambda: look(sleeper))
    client = make_caller(sleeper, ports, "patient").sdk()
    file = client.files.create(file=("lines.jsonl", jsonl(LINES)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
        extra_body={"schedule": "offpeak"},
    )  # fmt: skip
    assert batch.model_extra is not None
    assert batch.model_extra["schedule"] == "offpeak"

    def planned() -> bool:
        plan = pools(ports).plan
        return plan is not None and plan.run(f"{batch.id}.0") is not None

    wait_until(planned, "the batch is planned", lambda: look(sleeper))
    for _ in range(3):
        look(sleeper)
        row = pools(ports)
        assert row.plan is not None
        run = row.plan.run(f"{batch.id}.0")
        assert run is not None
        assert run.starts_at > time.time() + HOUR / 2
        assert row.state(row.id).instances == 0
        assert ports.runs.get(batch.id, 0).cursor == 0
        assert workers(sleeper) == 0

    hours_cost(sleeper, ports, 1.0, 1.0, 20.0)
    wait_until(lambda: workers(sleeper) > 0, "its hours have come", lambda: look(sleeper))
    ended = until_ended(client, batch.id, SECONDS_MAX, meanwhile=lambda: look(sleeper))
    assert ended.status == "completed"
    assert ended.completed_at is not None
    assert ended.expires_at is not None
    assert ended.completed_at < ended.expires_at
    wait_until(lambda: workers(sleeper) == 0, "all is done", lambda: look(sleeper))
    assert ended.output_file_id is not None
    results = parse(client.files.content(ended.output_file_id).text)
    assert_each_once_in_input_order(LINES, results)


def test_who_asks_for_it_now_gets_it_now_whatever_the_hour_costs(
    sleeper: LocalCloud, ports: Aws
) -> None:
    hours_cost(sleeper, ports, 20.0, 20.0, 1.0)
    client = make_caller(sleeper, ports, "hurried").sdk()
    file = client.files.create(file=("lines.jsonl", jsonl(LINES)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    ended = until_ended(client, batch.id, SECONDS_MAX, meanwhile=lambda: look(sleeper))
    assert ended.status == "completed"


def test_an_instance_that_leaves_costs_its_shard_what_came_since_its_last_checkpoint_at_most(
    sleeper: LocalCloud, ports: Aws
) -> None:
    """A pool of two becomes one of one, while both work; which of them goes is not ours to say."""
    slow = [chat_line(f"slow-{n}", "[[sleep=20]] wait") for n in range(4)]
    lines = [*chat_lines(2, "a"), *slow[:2], *chat_lines(2, "b"), *slow[2:]]
    client = make_caller(sleeper, ports, "scaled").sdk()
    file = client.files.create(file=("lines.jsonl", jsonl(lines)), purpose="batch")
    batch = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    until(client, batch.id, completed(4), SECONDS_MAX, meanwhile=lambda: look(sleeper))
    told = {shard.number: shard.progress.finished for shard in ports.shards.of_run(batch.id, 0)}
    environment = sleeper.environment
    scaling = boto3.client(
        "application-autoscaling", region_name=REGION, aws_access_key_id="test",
        aws_secret_access_key="test",
        endpoint_url=environment["AWS_ENDPOINT_URL_APPLICATION_AUTO_SCALING"],
    )  # fmt: skip
    scaling.register_scalable_target(
        ServiceNamespace="sagemaker", MinCapacity=1, MaxCapacity=1,
        ResourceId=f"endpoint/offpeak-local-{POOL}/variant/AllTraffic",
        ScalableDimension="sagemaker:variant:DesiredInstanceCount",
    )  # fmt: skip
    ended = until_ended(client, batch.id, SECONDS_MAX, meanwhile=lambda: look(sleeper))
    assert ended.status == "completed"
    again = [shard for shard in ports.shards.of_run(batch.id, 0) if shard.attempt > 1]
    assert len(again) == 1
    assert again[0].failures == 0
    resumed = _resumed_lines(ports, again[0].report_key)
    assert resumed >= told[again[0].number] == 2


def _resumed_lines(ports: Aws, report_key: str | None) -> int:
    assert report_key is not None
    return decode_report(ports.reader.read(report_key, 0, 100_000)).resumed_lines


def test_a_worker_elsewhere_works_at_home_and_what_has_to_stay_there_does(
    sleeper: LocalCloud, ports: Aws
) -> None:
    """Only the pool elsewhere is awake. Its worker reads and writes tables that are at home alone, as its role may."""
    say(sleeper, ports, OverrideKind.BOOST, FAR)
    wait_until(
        lambda: (
            pools(ports, ROAMING).state(ROAMING).instances == 0
            and workers(sleeper, ROAMING, FAR) > 0
        ),
        "only the other region is awake", lambda: look(sleeper),
    )  # fmt: skip
    roamer, homebody = (make_caller(sleeper, ports, name) for name in ("roamer", "homebody"))
    set_regions(homebody.account_id, [], accounts=ports.accounts, changes=ports.changes)
    shards = worked(sleeper, ports, roamer, submit(roamer))
    assert {shard.region for shard in shards} == {FAR}
    for shard in shards:
        key = attempt_report_key(shard.batch_id, 0, shard.number, shard.attempt)
        assert shard.report_key == key
        assert decode_report(ports.reader.read(key, 0, 100_000)).counts.finished == 4
    assert_only_answers_are_kept_elsewhere(sleeper, len(shards))
    stayed = worked(sleeper, ports, homebody, submit(homebody))
    assert {shard.region for shard in stayed} == {None}, "home was woken for it"
    say(sleeper, ports, None, FAR)


def test_two_regions_share_a_batch_and_none_of_who_stays_home_leaves_it(
    sleeper: LocalCloud, ports: Aws
) -> None:
    """Both pools are awake, and more is asked for now than one of them takes at once."""
    roamer, homebody = (make_caller(sleeper, ports, name) for name in ("sharing", "staying"))
    set_regions(homebody.account_id, [], accounts=ports.accounts, changes=ports.changes)
    say(sleeper, ports, OverrideKind.BOOST, None, FAR)
    wait_until(
        lambda: workers(sleeper, ROAMING) > 0 and workers(sleeper, ROAMING, FAR) > 0,
        "both are awake", lambda: look(sleeper),
    )  # fmt: skip
    worked_in: set[str | None] = set()
    give_up_at = time.monotonic() + SECONDS_MAX
    while worked_in != {None, FAR}:  # dispatchers go by what they read some seconds ago
        assert time.monotonic() < give_up_at, f"all was worked in {worked_in}"
        stays, roams = (submit(each) for each in (homebody, roamer))
        worked_in = {shard.region for shard in worked(sleeper, ports, roamer, roams)}
        stayed = worked(sleeper, ports, homebody, stays)
        assert {shard.region for shard in stayed} == {None}
    say(sleeper, ports, None, None, FAR)


def submit(caller: Caller) -> str:
    client = caller.sdk()
    file = client.files.create(file=("lines.jsonl", jsonl(ROAMING_LINES)), purpose="batch")
    made = client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h"
    )
    return made.id


def worked(cloud: LocalCloud, ports: Aws, caller: Caller, batch_id: str) -> list[Shard]:
    """The batch's shards, when all its results are there. Each was worked once: where its row says, nowhere else."""
    client = caller.sdk()
    ended = until_ended(client, batch_id, SECONDS_MAX, meanwhile=lambda: look(cloud))
    assert ended.output_file_id is not None
    results = parse(client.files.content(ended.output_file_id).text)
    assert_each_once_in_input_order(ROAMING_LINES, results)
    found = list(ports.shards.of_run(batch_id, 0))
    assert [shard.attempt for shard in found] == [1] * 4
    return found


def say(cloud: LocalCloud, ports: Aws, kind: OverrideKind | None, *regions: str | None) -> None:
    """An operator's word on the pools of these regions."""
    catalogue = parse_catalogue((cloud.folder / "models.toml").read_text())
    now = time.time()
    word = None if kind is None else Override(kind=kind, until=now + HOUR, instances=1)
    for region in regions:
        override_pool(
            pool_id(ROAMING, region), word, now=now, catalogue=catalogue, pools=ports.pools,
            changes=ports.changes,
        )  # fmt: skip


def assert_only_answers_are_kept_elsewhere(cloud: LocalCloud, invocations: int) -> None:
    """SageMaker's, one an invocation, in a bucket of that region, without a word of the lines and their results."""
    s3 = client_of(cloud, "s3")
    assert s3.get_bucket_location(Bucket=ANSWERS)["LocationConstraint"] == FAR
    listed = [each["Key"] for each in s3.list_objects_v2(Bucket=ANSWERS)["Contents"]]
    assert {key.rsplit("/", 1)[0] for key in listed} == {f"work/invocations/{ROAMING}/reports"}
    assert len(listed) >= invocations
    for key in listed:
        answer = s3.get_object(Bucket=ANSWERS, Key=key)["Body"].read()
        assert decode_report(answer).outcome is Outcome.DONE
        assert b"What is" not in answer
        assert b"night-" not in answer
