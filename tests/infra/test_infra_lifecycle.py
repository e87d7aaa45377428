from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from infra.sizes import SIZES
from offpeak.aws.destinations import EXCHANGE_SECONDS_MAX
from offpeak.core.catalogue import Catalogue
from offpeak.steps.deliver_callbacks import LEASE_SECONDS
from tests.infra.synthesised import Synthesised


def _functions(stage: Synthesised, part: str) -> Mapping[str, Mapping[str, Any]]:
    found = stage.templates[part].find_resources("AWS::Lambda::Function").values()
    return {f["Properties"]["FunctionName"]: f["Properties"] for f in found}


def _only(stage: Synthesised, kind: str, **properties: Any) -> Mapping[str, Any]:
    """Of this stack, or of the queue that lies beside the bucket which tells it."""
    found = [
        resource["Properties"]
        for part in ("lifecycle", "storage")
        for resource in stage.templates[part]
        .find_resources(kind, {"Properties": properties})
        .values()
    ]
    [only] = found
    return only  # type: ignore[no-any-return]


def test_each_function_is_named_as_its_folder_and_runs_its_handler(prod: Synthesised) -> None:
    functions = _functions(prod, "lifecycle")
    assert {name: f["Handler"] for name, f in functions.items()} == {
        f"offpeak-prod-{folder.replace('_', '-')}": f"lambdas.{folder}.handler.handler"
        for folder in SIZES
    }


def test_every_function_runs_on_arm_with_the_layer_and_logs_where_operators_look(
    prod: Synthesised,
) -> None:
    groups = prod.templates["lifecycle"].find_resources("AWS::Logs::LogGroup")
    for name, function in _functions(prod, "lifecycle").items():
        assert function["Architectures"] == ["arm64"]
        assert function["Runtime"] == "python3.13"
        assert len(function["Layers"]) == 1
        group = groups[function["LoggingConfig"]["LogGroup"]["Ref"]]["Properties"]
        assert group["LogGroupName"] == f"/aws/lambda/{name}"
        assert group["RetentionInDays"] == 90


def test_a_function_knows_the_addresses_of_what_it_may_touch_and_no_others(
    local: Synthesised,
) -> None:
    functions = _functions(local, "lifecycle")
    assert set(functions["offpeak-local-announce-batch"]["Environment"]["Variables"]) == {
        "OFFPEAK_STAGE",
        "OFFPEAK_POOLS",
        "OFFPEAK_BUCKET",
        "OFFPEAK_TABLE_BATCHES",
        "OFFPEAK_TABLE_FILES",
        "OFFPEAK_EVENT_BUS",
    }
    dispatch = functions["offpeak-local-dispatch-shards"]["Environment"]["Variables"]
    assert dispatch["OFFPEAK_ENDPOINT_PREFIX"] == "offpeak-local-"


def test_one_dispatcher_at_a_time_serves_a_pool(local: Synthesised) -> None:
    queue = _only(local, "AWS::SQS::Queue", QueueName="offpeak-local-dispatch.fifo")
    assert queue["FifoQueue"] is True
    assert "ContentBasedDeduplication" not in queue  # equal asks must not swallow one another


def test_queues_hide_a_record_longer_than_its_function_may_take(prod: Synthesised) -> None:
    for queue, function in {
        "offpeak-prod-dispatch.fifo": "dispatch_shards",
        "offpeak-prod-shard-ended": "complete_shard",
        "offpeak-prod-dropped": "ingest_drop",
        "offpeak-prod-requests": "collect_requests",
        "offpeak-prod-groups": "finalize_group",
        "offpeak-prod-batch-ended": "queue_deliveries",
        "offpeak-prod-callbacks": "deliver_callbacks",
    }.items():
        properties = _only(prod, "AWS::SQS::Queue", QueueName=queue)
        assert properties["VisibilityTimeout"] > SIZES[function].timeout_seconds
        assert properties["RedrivePolicy"]["maxReceiveCount"] == 5


def test_poison_is_kept_for_two_weeks(prod: Synthesised) -> None:
    stems = (
        "shard-ended-dead",
        "dropped-dead",
        "requests-dead",
        "groups-dead",
        "batch-ended-dead",
        "callbacks-dead",
    )
    for name in ("dispatch-dead.fifo", *stems):
        queue = _only(prod, "AWS::SQS::Queue", QueueName=f"offpeak-prod-{name}")
        assert queue["MessageRetentionPeriod"] == 1_209_600


def test_queue_consumers_report_failures_record_by_record(prod: Synthesised) -> None:
    mappings = prod.templates["lifecycle"].find_resources("AWS::Lambda::EventSourceMapping")
    assert len(mappings) == 7
    for mapping in mappings.values():
        assert mapping["Properties"]["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_both_topics_deliver_sagemakers_own_words_to_one_queue(prod: Synthesised) -> None:
    template = prod.templates["lifecycle"]
    topics = template.find_resources("AWS::SNS::Topic")
    assert {t["Properties"]["TopicName"] for t in topics.values()} == {
        "offpeak-prod-shard-success",
        "offpeak-prod-shard-failure",
    }
    subscriptions = template.find_resources("AWS::SNS::Subscription").values()
    assert {s["Properties"]["TopicArn"]["Ref"] for s in subscriptions} == set(topics)
    assert len({json.dumps(s["Properties"]["Endpoint"]) for s in subscriptions}) == 1
    assert all(s["Properties"]["RawMessageDelivery"] is True for s in subscriptions)


def test_what_runs_every_minute_ends_before_the_next(prod: Synthesised) -> None:
    for folder in ("sweep", "show_drops", "sweep_requests"):
        name = f"offpeak-prod-{folder.replace('_', '-')}"
        rule = _only(prod, "AWS::Events::Rule", Name=name)
        assert rule["ScheduleExpression"] == "rate(1 minute)"
        called = rule["Targets"][0]["Arn"]["Fn::GetAtt"][0].lower()
        assert folder.replace("_", "") in called
        assert SIZES[folder].timeout_seconds < 60


def test_deployed_pools_are_measured_every_minute(prod: Synthesised, catalogue: Catalogue) -> None:
    rule = _only(prod, "AWS::Events::Rule", Name="offpeak-prod-measure-pools")
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    function = _functions(prod, "lifecycle")["offpeak-prod-measure-pools"]
    pools = function["Environment"]["Variables"]["OFFPEAK_POOLS"].split(",")
    assert pools == [model.pool for model in catalogue.models]


def test_signals_are_fetched_every_hour(prod: Synthesised) -> None:
    rule = _only(prod, "AWS::Events::Rule", Name="offpeak-prod-fetch-signals")
    assert rule["ScheduleExpression"] == "rate(1 hour)"


def test_only_tls_reaches_queues_and_topics_in_prod(prod: Synthesised, local: Synthesised) -> None:
    def denials(stage: Synthesised) -> int:
        found = {
            **stage.templates["lifecycle"].find_resources("AWS::SQS::QueuePolicy"),
            **stage.templates["lifecycle"].find_resources("AWS::SNS::TopicPolicy"),
            **stage.templates["storage"].find_resources("AWS::SQS::QueuePolicy"),
        }
        return json.dumps(found).count('"aws:SecureTransport": "false"')

    assert denials(prod) == 16  # fourteen queues, two topics
    assert denials(local) == 0


def test_only_validation_knows_how_long_a_line_may_be(prod: Synthesised) -> None:
    knowing = {
        name: function["Environment"]["Variables"]["OFFPEAK_LINE_BYTES_MAX"]
        for name, function in _functions(prod, "lifecycle").items()
        if "OFFPEAK_LINE_BYTES_MAX" in function["Environment"]["Variables"]
    }
    assert knowing == {"offpeak-prod-validate-range": "1000000"}


def test_deliveries_are_looked_for_every_minute(prod: Synthesised) -> None:
    rule = _only(prod, "AWS::Events::Rule", Name="offpeak-prod-requeue-deliveries")
    assert rule["ScheduleExpression"] == "rate(1 minute)"
    assert SIZES["requeue_deliveries"].timeout_seconds < 60


def test_every_ending_of_a_batch_is_kept_for_its_webhooks(prod: Synthesised) -> None:
    rule = _only(prod, "AWS::Events::Rule", Name="offpeak-prod-batch-ended")
    assert rule["EventPattern"] == {
        "source": ["offpeak"],
        "detail-type": [
            "batch.completed",
            "batch.failed",
            "batch.expired",
            "batch.cancelled",
            "batch.at_risk",
        ],
    }
    assert "BatchEnded" in rule["Targets"][0]["Arn"]["Fn::GetAtt"][0]


def test_a_sender_holds_a_delivery_longer_than_an_exchange_takes_and_ends_within_its_time() -> None:
    assert LEASE_SECONDS > 2 * EXCHANGE_SECONDS_MAX
    assert (
        SIZES["deliver_callbacks"].timeout_seconds > 10 * EXCHANGE_SECONDS_MAX + LEASE_SECONDS / 4
    )
