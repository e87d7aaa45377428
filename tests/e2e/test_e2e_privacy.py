"""Marked prompts and secrets go down every road of the local cloud; then every store is read whole: what is marked lies
in objects that are deleted in time, and nowhere else. docs/security.md has the table that this holds."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from aws_cdk import App
from aws_cdk.assertions import Template

from infra.stacks import StorageStack
from infra.stage import LOCAL_STAGE
from offpeak.aws.connect import Aws
from offpeak.core.ids import GATHERING
from offpeak.core.ports import Save
from offpeak.local.cloud import LocalCloud
from tests.e2e.caller import Caller
from tests.e2e.command import offpeak
from tests.e2e.deployment import call_function
from tests.e2e.drop_folder import folder_of
from tests.e2e.follow import until_ended
from tests.e2e.lines import MODEL, chat_line, jsonl
from tests.e2e.receiver import receiving
from tests.e2e.receiver import until as wait_until
from tests.e2e.stores import Stores

pytestmark = [pytest.mark.cloud]

DAY = 86_400
# Where a prompt, or what a model answered to it, may lie; docs/security.md says for how long.
PROMPTS_LIE_IN = frozenset({"files", "uploads", "work", "results", "drop"})


@dataclass(frozen=True)
class Marked:
    """What was sent: `prompt` is in every prompt, the `secrets` opened something or were to."""

    caller: Caller
    prompt: str
    secrets: tuple[str, ...]
    stores: Stores
    files: tuple[str, ...]


@pytest.fixture(scope="module")
def marked(cloud: LocalCloud, new_caller: Callable[[], Caller]) -> Iterator[Marked]:
    caller = new_caller()
    prompt, token = f"prompt{uuid.uuid4().hex}", f"token{uuid.uuid4().hex}"
    stores = Stores(cloud, time.time())
    with receiving() as receiver:
        hook = receiver.url(f"/told?token={token}")
        signing = _listen(caller, hook)
        files = [*_batches(caller, prompt), _upload(caller, prompt)]
        _requests(caller, prompt)
        _task(caller, prompt, hook)
        receiver.wait_for(f"/told?token={token}", 3)
        _drops(cloud, caller, prompt)
        wrong_key = f"sk-offpeak-{uuid.uuid4().hex}"
        _nonsense(caller, prompt, wrong_key)
        yield Marked(
            caller, prompt, (token, caller.api_key, wrong_key, *signing), stores, tuple(files)
        )


def _listen(caller: Caller, url: str) -> list[str]:
    """The secrets that this account's events are signed with."""
    made = caller.sdk().webhooks.create(
        name="hook", url=url, event_types=["batch.completed", "batch.failed"]
    )
    own = caller.call("GET", "/callback_secret").json()["signing_secret"]
    return [str(made.signing_secret), str(own)]


def _batches(caller: Caller, prompt: str) -> list[str]:
    """One whose lines succeed, fail in the engine, and are no request lines; one that fails as a whole."""
    client = caller.sdk()
    good = [chat_line(f"line-{n}", f"{prompt} {n}") for n in range(20)]
    failing = [chat_line("status", f"{prompt} [[status=400]]")]
    broken = (
        b'{"custom_id": "broken", "body": {"messages": [{"content": "%s"\n'
        b'{"custom_id": "odd", "method": "POST", "url": "/v1/chat/completions", "body": '
        b'{"model": "offpeak/tiny-chat", "messages": "%s"}}\n'
    ) % (prompt.encode(), prompt.encode())
    ended = []
    for content, on_invalid in ((jsonl([*good, *failing]) + broken, "skip"), (broken, "fail")):
        file = client.files.create(file=("lines.jsonl", content), purpose="batch")
        batch = client.batches.create(
            input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h",
            extra_body={"on_invalid": on_invalid},
        )  # fmt: skip
        ended.append(until_ended(client, batch.id, 120.0))
    assert [batch.status for batch in ended] == ["completed", "failed"]
    ids = [
        each
        for batch in ended
        for each in (batch.input_file_id, batch.output_file_id, batch.error_file_id)
        if each is not None
    ]
    assert len(ids) == 4
    return ids


def _upload(caller: Caller, prompt: str) -> str:
    content = jsonl([chat_line("uploaded", prompt)])
    upload = caller.sdk().uploads.upload_file_chunked(
        file=content, filename="uploaded.jsonl", bytes=len(content), mime_type="application/jsonl",
        purpose="batch",
    )  # fmt: skip
    assert upload.file is not None
    return upload.file.id


def _requests(caller: Caller, prompt: str) -> None:
    """A small one, a large one whose body goes through S3, one that fails, in a group."""

    def send(text: str) -> str:
        body = {"model": MODEL, "messages": [{"role": "user", "content": text}]}
        made = caller.call("POST", "/requests", json={"request_body": body})
        assert made.status_code == 201, made.text
        return str(made.json()["id"])

    sent = [send(prompt), send(f"{prompt} " * 10_000), send(f"{prompt} [[status=400]]")]
    group = caller.call("POST", "/batches", json={"requests_ids": sent}).json()
    status = f"/batches/{group['id']}/status"
    wait_until(
        lambda: caller.call("GET", status).json()["status"] == "completed", "the group is completed"
    )
    assert prompt in caller.call("GET", f"/batches/{group['id']}/results").text


def _task(caller: Caller, prompt: str, hook: str) -> None:
    """Hive's: the result is sent to the callback."""
    answer = httpx.post(
        f"{caller.base_url}/api/v1/task/async",
        json={"text_data": prompt, "callback_url": hook, "options": {"model": MODEL}},
        headers={"Authorization": f"Token {caller.api_key}"},
        timeout=30.0,
    )
    assert answer.status_code == 200, answer.text


def _drops(cloud: LocalCloud, caller: Caller, prompt: str) -> None:
    folder = folder_of(cloud, caller)
    folder.put("dropped.jsonl", jsonl([chat_line("dropped", prompt)]))
    assert folder.until_final("dropped")["status"] == "completed"


def _nonsense(caller: Caller, prompt: str, wrong_key: str) -> None:
    """What is refused at the door."""
    for path in ("/batches", "/requests", "/files", "/uploads", "/webhooks"):
        for body in (b'{"a": "%s' % prompt.encode(), b'["%s"]' % prompt.encode()):
            assert caller.call("POST", path, content=body).status_code in (400, 404)
    refused = caller.call("GET", "/files", headers={"Authorization": f"Bearer {wrong_key}"})
    assert refused.status_code == 401


def _tellers(found: Iterator[tuple[str, str]], *words: str) -> list[tuple[str, str]]:
    """Where one of the words is, and in what."""
    return [
        (name, text[max(0, at - 200) : at + 80])
        for name, text in found
        for word in words
        if (at := text.find(word)) >= 0
    ]


@pytest.mark.parametrize(
    "store", ["rows", "executions", "function_logs", "process_logs", "metrics", "queues"]
)
def test_nothing_of_a_prompt_is_in(marked: Marked, store: str) -> None:
    assert _tellers(getattr(marked.stores, store)(), marked.prompt) == []


@pytest.mark.parametrize("store", ["executions", "function_logs", "process_logs", "metrics"])
def test_no_key_and_no_secret_is_in(marked: Marked, store: str) -> None:
    assert _tellers(getattr(marked.stores, store)(), *marked.secrets) == []


def test_rows_hold_no_key_and_no_signing_secret(marked: Marked) -> None:
    """A callback's address they do: it is where to send to."""
    token, *others = marked.secrets
    assert _tellers(marked.stores.rows(), *others) == []
    assert _tellers(marked.stores.rows(), token) != []


def test_the_search_finds_what_is_there(marked: Marked) -> None:
    """Otherwise the tests above would say nothing: ids of this account are in each of those stores."""
    for store in ("rows", "executions", "function_logs"):
        assert _tellers(getattr(marked.stores, store)(), marked.caller.account_id), store
    assert sum(1 for _ in marked.stores.process_logs()) >= 3
    assert sum(1 for _ in marked.stores.metrics()) >= 1


def _lifetimes() -> dict[str, int]:
    """Days after which the bucket's own rules delete what lies under a prefix. The emulator keeps everything, and knows
    of no rules: these are the template's."""
    template = Template.from_stack(StorageStack(App(), stage=LOCAL_STAGE))
    [bucket] = template.find_resources("AWS::S3::Bucket").values()
    rules = bucket["Properties"]["LifecycleConfiguration"]["Rules"]
    return {r["Prefix"]: r["ExpirationInDays"] for r in rules if "ExpirationInDays" in r}


def test_prompts_lie_in_objects_that_are_deleted_in_time(marked: Marked, aws: Aws) -> None:
    lifetimes = _lifetimes()
    found = [key for key, body in marked.stores.objects() if marked.prompt.encode() in body]
    prefixes = {key.partition("/")[0] for key in found}
    assert PROMPTS_LIE_IN - {"uploads"} <= prefixes <= PROMPTS_LIE_IN
    assert {prefix: lifetimes.get(f"{prefix}/") for prefix in ("work", "drop", "errors", "uploads")} == {
        "work": 14, "drop": 30, "errors": 14, "uploads": 2,
    }  # fmt: skip
    page = aws.files.list(
        marked.caller.account_id, limit=100, after=None, purpose=None, ascending=True
    )
    kept = {file.key: file for file in page.rows}
    for key in found:
        if key.startswith(("files/", "results/")):
            file = kept[key]
            assert file.expires_at is not None
            assert file.expires_at - file.created_at <= 30 * DAY, key


def test_what_is_deleted_or_has_expired_is_gone_with_its_bytes(
    marked: Marked, aws: Aws, cloud: LocalCloud
) -> None:
    """Half of the files are deleted by their account, half have come of age. In the order of the tests above this
    comes after them, and needs none."""
    client, account_id = marked.caller.sdk(), marked.caller.account_id
    page = aws.files.list(account_id, limit=100, after=None, purpose=None, ascending=True)
    assert {file.id for file in page.rows} >= set(marked.files)
    for number, file in enumerate(page.rows):
        if number % 2:
            client.files.delete(file.id)
        else:
            row = aws.files.get(account_id, file.id)
            aws.changes.commit(Save(replace(row, expires_at=int(time.time()) - 1)))
    call_function(cloud, "expire-files", {})
    assert (
        aws.files.list(account_id, limit=100, after=None, purpose=None, ascending=True).rows == ()
    )
    left = [
        key
        for key, body in marked.stores.objects()
        if marked.prompt.encode() in body and key.startswith(("files/", "results/"))
    ]
    assert left == []


def test_an_account_is_erased_from_every_store(
    marked: Marked, cloud: LocalCloud, tmp_path: Path
) -> None:
    """What is left lies in objects that requests of all accounts share: the bucket's rule takes it."""
    environment = {**cloud.environment, "OFFPEAK_STAGE": "local"}
    account_id = marked.caller.account_id
    done = offpeak("accounts", "erase", account_id, "--yes", environment=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    left = [key for key, body in marked.stores.objects() if marked.prompt.encode() in body]
    shared = ("work/segments/", f"work/{GATHERING}")
    assert [key for key in left if not key.startswith(shared)] == []
    assert _lifetimes()["work/"] == 14
    assert _tellers(marked.stores.rows(), marked.prompt) == []
