"""Who may touch what: the rights of every function, of the door and of the container in one table.

Who writes objects of any size also reads them: a multipart upload ends with a look at what came of it.
What isn't named is refused, and its address isn't in the function's environment either. State is read by key or by
index, and written by `Changes.commit`: nothing scans a table, and the only rows that go are those of deleted files
and webhook endpoints.
"""

from __future__ import annotations

from collections.abc import Mapping

from infra.access import Access

ACCESS: Mapping[str, Access] = {
    "api": Access(
        reads=(
            "accounts",
            "files",
            "batches",
            "runs",
            "shards",
            "requests",
            "groups",
            "gatherings",
            "webhooks",
            "deliveries",
            "ledger",
            "pools",  # when a batch is planned to begin
        ),
        writes=(
            "files",
            "batches",
            "runs",
            "shards",
            "requests",
            "groups",
            "idempotency",
            "audit",
            "webhooks",
            "deliveries",
        ),
        updates=("requests", "throttles"),
        deletes=("files", "webhooks"),
        # In work: where a request's result is, among those of its shard.
        reads_objects=(
            "files/",
            "uploads/",
            "results/",
            "errors/",
            "drop/",
            "work/",
            "tokenizers/",
            "signals/",
        ),
        # Errors: those of a batch that failed at once. In work: a request's large body or result, and what
        # tells of a group's members and of cancelled requests.
        writes_objects=(
            "files/",
            "uploads/",
            "errors/",
            "work/requests/",
            "work/cancelled/",
            "work/groups/",
        ),
        deletes_objects=("files/", "uploads/", "results/"),
        asks_dispatch=True,
        sends_requests=True,
        asks_groups=True,
        starts_batches=True,
        answers_batches=True,
        announces=True,
        asks_callbacks=True,
        signs=True,
        knows_keys=True,
        calls_out=True,
        counts_tokens=True,
    ),
    "ingest_drop": Access(
        reads=("accounts", "files", "batches"),
        writes=("files", "batches", "idempotency"),
        reads_objects=("drop/", "files/", "results/", "errors/"),
        # Files: what a packed object is unpacked to. Errors: those of a batch that failed at once.
        writes_objects=("files/", "errors/"),
        writes_beside_drops=True,
        clears_beside_drops=True,
        puts_back_drops=True,
        starts_batches=True,
        announces=True,
    ),
    "show_drops": Access(
        reads=("batches", "runs", "shards"),
        reads_objects=("drop/", "results/", "errors/"),
        writes_beside_drops=True,
    ),
    "deliver_drop": Access(
        reads=("batches",),
        reads_objects=("drop/", "results/", "errors/"),
        writes_beside_drops=True,
        clears_beside_drops=True,
    ),
    "validate_range": Access(
        reads=("accounts", "batches"),
        reads_objects=("files/", "drop/", "work/"),
        writes_objects=("work/",),
    ),
    "plan_shards": Access(
        reads=("accounts", "batches", "runs", "ledger"),
        writes=("batches", "runs", "ledger"),
        reads_objects=("files/", "drop/", "work/"),  # a duplicate's line is found by reading it
        writes_objects=("work/", "errors/"),
    ),
    "reorder_shards": Access(
        reads=("batches",),
        reads_objects=("files/", "drop/", "work/"),
        writes_objects=("work/",),
    ),
    "release_runs": Access(
        reads=("batches", "runs", "shards", "pools"),
        writes=("batches", "runs", "shards"),
        asks_dispatch=True,
        answers_batches=True,
        announces=True,  # when they will be done
    ),
    "dispatch_shards": Access(
        reads=("accounts", "runs", "shards", "pools"),  # accounts' weights and regions
        writes=("runs", "shards"),
        reads_objects=("work/",),
        asks_dispatch=True,
        invokes_endpoints=True,
    ),
    "complete_shard": Access(
        reads=("accounts", "batches", "runs", "shards", "ledger"),
        writes=("runs", "shards", "deliveries", "ledger"),
        updates=("requests",),  # a gathering's results go to the requests they answer
        reads_objects=("work/", "signals/"),  # by which hour what was emitted
        asks_dispatch=True,
        asks_groups=True,
        answers_batches=True,
        asks_callbacks=True,  # of what was sent with one
    ),
    "close_batch": Access(
        reads=("batches", "runs", "shards"),
        writes=("batches", "runs", "shards"),
    ),
    "harvest_shards": Access(
        reads=("batches", "runs", "shards"),
        writes=("shards",),
        reads_objects=("files/", "drop/", "work/"),  # a line that never ran gives its custom_id
        writes_objects=("work/",),
    ),
    "finalize_batch": Access(
        reads=("accounts", "batches", "runs", "shards", "ledger"),
        writes=("files", "batches", "shards", "deliveries", "ledger"),
        updates=("requests",),  # what no notice has routed
        reads_objects=("work/", "results/", "signals/"),
        writes_objects=("work/", "results/"),  # in work: plans for `assemble_results`
        deletes_objects=("work/",),  # such a plan, when its upload was given up for its age
        asks_groups=True,
        asks_callbacks=True,  # of what was sent with one
    ),
    "assemble_results": Access(
        reads=("batches",),
        reads_objects=("work/", "results/"),
        writes_objects=("work/", "results/"),
    ),
    "announce_batch": Access(
        reads=("files", "batches"),
        deletes_objects=("files/",),  # the input, when its file was deleted while the batch ran
        announces=True,
    ),
    "fail_batch": Access(
        reads=("batches", "runs"),
        writes=("batches",),
        reads_objects=("files/", "drop/"),  # whether an input was replaced
        writes_objects=("errors/",),
    ),
    "expire_files": Access(
        reads=("files", "batches"),
        writes=("files",),
        deletes=("files",),
        writes_objects=("files/",),  # to abort the upload of one that never was complete
        deletes_objects=("files/", "results/"),
        looks_by_time=True,
    ),
    "collect_requests": Access(
        reads=("runs", "shards", "gatherings"),
        writes=("batches", "runs", "gatherings", "deliveries"),
        updates=("requests",),  # to expire one that waited too long
        reads_objects=("work/",),
        writes_objects=("work/",),
        sends_requests=True,  # reminders
        starts_batches=True,
        asks_callbacks=True,  # of what expired and was sent with one
    ),
    "finalize_group": Access(
        reads=("requests", "groups"),
        writes=("groups", "deliveries"),
        updates=("requests",),
        reads_objects=("work/",),
        writes_objects=("work/",),
        asks_callbacks=True,  # of what was sent with one
    ),
    "sweep_requests": Access(
        reads=("requests", "groups", "gatherings"),
        writes=("batches", "runs", "groups", "gatherings", "deliveries"),
        updates=("requests",),
        reads_objects=("work/",),
        writes_objects=("work/",),
        asks_groups=True,
        starts_batches=True,
        asks_callbacks=True,  # of what was lost and was sent with one
        looks_by_time=True,
    ),
    "sweep": Access(
        reads=("batches", "runs", "shards"),
        writes=("batches", "runs", "shards"),  # of batches, the mark of those at risk
        asks_dispatch=True,
        starts_batches=True,
        answers_batches=True,
        redrives_batches=True,
        announces=True,
    ),
    "fetch_signals": Access(
        reads_objects=("signals/",),
        writes_objects=("signals/",),
        fetches_signals=True,
    ),
    "measure_pools": Access(reads=("runs", "shards"), publishes_metrics=True),
    "plan_capacity": Access(
        reads=("accounts", "runs", "shards", "pools"),  # accounts' regions
        writes=("pools",),
        reads_objects=("signals/",),
        asks_dispatch=True,
        scales_pools=True,
        publishes_metrics=True,
    ),
    "queue_deliveries": Access(
        reads=("batches", "webhooks"), writes=("deliveries",), asks_callbacks=True
    ),
    "deliver_callbacks": Access(
        reads=("webhooks", "deliveries", "requests"),
        writes=("webhooks", "deliveries"),
        reads_objects=("work/",),  # a result that is sent itself, and what it answers
        asks_callbacks=True,
        signs=True,
        calls_out=True,
    ),
    "requeue_deliveries": Access(
        reads=("deliveries",),
        writes=("deliveries",),
        asks_callbacks=True,
        looks_by_time=True,
    ),
}

# The door: it makes files and parts, and takes back what nobody will use.
DOOR_ACCESS = Access(
    reads=("accounts", "files"),
    writes=("files", "idempotency"),
    reads_objects=("files/", "uploads/"),
    writes_objects=("files/", "uploads/"),
    deletes_objects=("files/", "uploads/"),
    knows_keys=True,
)

# The container. Its orders come by invocation and its reports go back by SageMaker.
WORKER_ACCESS = Access(
    reads=("runs", "shards"),
    writes=("shards",),
    reads_objects=(
        "files/",
        "drop/",
        "work/",
    ),  # in drop/ lie inputs, and images that requests name
    writes_objects=("work/",),
)
