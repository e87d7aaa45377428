"""Where things live in the bucket. Ids come from us, never from a caller, so keys are safe to build from them. Only the
drop folder has other people's names in it (`drop.py`).

files/{account}/{file}                           uploaded input
uploads/{account}/{upload}/{part}                parts of an upload that is not complete yet
work/{batch}/ranges/00007.report                 what one byte range holds
work/{batch}/plan.json                           what was planned before its lines are reordered
work/{batch}/{run}/manifest.jsonl                a run's shards, one a line
work/{batch}/{run}/reordered/…                   the same for reordered lines; these, chunk by chunk, and their indexes
work/{batch}/{run}/{shard}/checkpoints/…         a shard's results so far, per attempt
work/{batch}/{run}/{shard}/{attempt}/…           its output.jsonl and errors.jsonl; from elsewhere report.json
work/{batch}/assembly/{kind}/…                   how its results are put together, where that is shared out
results/{batch}/…                                what clients download
signals/{region}/stored/{kind}-{source}.json     a source's signals of a region, the newest first
signals/{region}/{kind}.csv                      a curve that an operator set: average, marginal or price
signals/{region}/hours/{day}.json                what the average kWh emitted, hour by hour, for receipts
errors/{batch}.json                              why a batch failed, as its `errors` list it
tokenizers/{pool}.json                           the tokenizer.json of the model that a pool serves, for estimates

work/requests/{account}/{request}.json           a body too large for the queue
work/requests/{account}/{request}.input.json     what came as a task of Hive's, for its callback
work/segments/{name}.jsonl                       collected requests, as request lines
work/cancelled/{pool}/{hour}/{name}.json         ids of cancelled requests, by the hour they were sent in
work/groups/{account}/{group}/calls/{token}.json the ids that one call put into a group
work/groups/{account}/{group}/results.jsonl      a group's results
work/groups/{account}/{request}.json             a copy of one large result, for its account to download
"""

from __future__ import annotations

from typing import Literal

JSON_LINES = "application/jsonl"
"""The content type of every object of lines."""
ResultKind = Literal["output", "error"]
"""A batch's two result files."""
TOKENIZER_FILE = "tokenizer.json"
"""What a model's own folder calls it."""
OWN_PREFIXES = ("files/", "uploads/", "work/", "results/", "errors/", "signals/", "tokenizers/")
"""Everything but the drop folder."""


def file_key(account_id: str, file_id: str) -> str:
    return f"files/{account_id}/{file_id}"


def part_key(account_id: str, upload_id: str, part_id: str) -> str:
    return f"uploads/{account_id}/{upload_id}/{part_id}"


def work_prefix(batch_id: str) -> str:
    return f"work/{batch_id}/"


def range_report_key(batch_id: str, index: int) -> str:
    return f"work/{batch_id}/ranges/{index:05}.report"


def invalid_lines_key(batch_id: str) -> str:
    return f"work/{batch_id}/invalid.jsonl"


def batch_errors_key(batch_id: str) -> str:
    return f"errors/{batch_id}.json"


def manifest_key(batch_id: str, run: int, cut: str) -> str:
    """`cut` names one call's cutting. Two calls at once may cut differently, while a new version is deployed: neither
    writes over what the other's row has come to name."""
    return f"work/{batch_id}/{run}/manifest-{cut}.jsonl"


def draft_key(batch_id: str) -> str:
    return f"work/{batch_id}/plan.json"


def reordered_manifest_key(batch_id: str, run: int, cut: str) -> str:
    return f"work/{batch_id}/{run}/reordered/manifest-{cut}.jsonl"


def reordered_lines_key(batch_id: str, run: int, chunk: int) -> str:
    return f"work/{batch_id}/{run}/reordered/{chunk:05}.jsonl"


def reordered_index_key(batch_id: str, run: int, chunk: int) -> str:
    return f"work/{batch_id}/{run}/reordered/{chunk:05}.index"


def shard_prefix(batch_id: str, run: int, shard: int) -> str:
    return f"work/{batch_id}/{run}/{shard:06}/"


def attempt_report_key(batch_id: str, run: int, shard: int, attempt: int) -> str:
    """Where a worker in a further region keeps its report."""
    return f"{shard_prefix(batch_id, run, shard)}{attempt:04}/report.json"


def assembly_prefix(batch_id: str, kind: ResultKind) -> str:
    return f"work/{batch_id}/assembly/{kind}/"


def results_prefix(batch_id: str) -> str:
    return f"results/{batch_id}/"


def output_key(batch_id: str) -> str:
    return f"{results_prefix(batch_id)}output.jsonl"


def error_key(batch_id: str) -> str:
    return f"{results_prefix(batch_id)}errors.jsonl"


def tokenizer_key(pool: str) -> str:
    return f"tokenizers/{pool}.json"


def signals_prefix(region: str) -> str:
    """Where sources' newest signals lie."""
    return f"signals/{region}/stored/"


def signal_key(region: str, kind: str, source: str) -> str:
    """`source` is one of ours, not a service's or a caller's text."""
    return f"{signals_prefix(region)}{kind}-{source}.json"


def curve_key(region: str, kind: str) -> str:
    return f"signals/{region}/{kind}.csv"


def grid_hours_key(region: str, day: str) -> str:
    """`day` as 2026-11-21, UTC."""
    return f"signals/{region}/hours/{day}.json"


def request_prefix(account_id: str) -> str:
    return f"work/requests/{account_id}/"


def group_prefix(account_id: str) -> str:
    return f"work/groups/{account_id}/"


def request_body_key(account_id: str, request_id: str) -> str:
    return f"work/requests/{account_id}/{request_id}.json"


def request_input_key(account_id: str, request_id: str) -> str:
    return f"work/requests/{account_id}/{request_id}.input.json"


def segment_key(name: str) -> str:
    return f"work/segments/{name}.jsonl"


def cancelled_prefix(pool: str) -> str:
    return f"work/cancelled/{pool}/"


def group_call_key(account_id: str, group_id: str, token: str) -> str:
    return f"work/groups/{account_id}/{group_id}/calls/{token}.json"


def group_results_key(account_id: str, group_id: str) -> str:
    return f"work/groups/{account_id}/{group_id}/results.jsonl"


def result_copy_key(account_id: str, request_id: str) -> str:
    return f"work/groups/{account_id}/{request_id}.json"
