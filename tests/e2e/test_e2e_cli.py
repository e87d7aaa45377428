"""`offpeak …` against the local cloud, as a process: what it prints where, and how it exits."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from offpeak.aws.connect import Aws
from offpeak.local.cloud import LocalCloud
from tests.e2e.caller import Caller
from tests.e2e.command import offpeak
from tests.e2e.lines import (
    assert_each_once_in_input_order,
    chat_line,
    chat_lines,
    ids,
    jsonl,
    parse,
)

pytestmark = [pytest.mark.cloud]

Run = Callable[..., subprocess.CompletedProcess[str]]
LINES = chat_lines(8)


@pytest.fixture
def run(caller: Caller, tmp_path: Path) -> Run:
    environment = {"OFFPEAK_BASE_URL": caller.base_url, "OFFPEAK_API_KEY": caller.api_key}
    return lambda *arguments: offpeak(*arguments, environment=environment, cwd=tmp_path)


@pytest.fixture
def lines(tmp_path: Path) -> Path:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(jsonl(LINES))
    return path


def test_submit_and_watch_goes_to_the_end_and_prints_only_the_id(run: Run, lines: Path) -> None:
    done = run("submit", lines, "--watch", "--metadata", "team=search", "--window", "6h")
    assert done.returncode == 0, done.stderr
    batch_id = done.stdout.strip()
    assert batch_id.startswith("batch_")
    assert "is completed: 8 of 8 completed" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr

    shown = json.loads(run("status", batch_id, "--json").stdout)
    assert (shown["metadata"], shown["completion_window"]) == ({"team": "search"}, "6h")
    assert "8 of 8 completed" in run("status", batch_id).stdout
    assert run("list").stdout.split("\t")[:2] == [batch_id, "completed"]


def test_results_go_to_stdout_or_a_file(run: Run, lines: Path, tmp_path: Path) -> None:
    batch_id = run("submit", lines, "--watch").stdout.strip()
    piped = run("results", batch_id)
    assert_each_once_in_input_order(LINES, parse(piped.stdout))
    done = run("results", batch_id, "-o", "results.jsonl")
    assert (done.stdout, (tmp_path / "results.jsonl").read_text()) == ("", piped.stdout)
    none = run("results", batch_id, "--errors")
    assert (none.returncode, none.stdout) == (0, "")
    assert "No line" in none.stderr


def test_a_large_file_takes_the_road_of_parts(run: Run, tmp_path: Path) -> None:
    wide = [chat_line(f"wide-{n:03}", f"{n} {'y' * 500_000}") for n in range(40)]
    (tmp_path / "large.jsonl").write_bytes(jsonl(wide))
    done = run("submit", "large.jsonl", "--watch")
    assert done.returncode == 0, done.stderr
    assert_each_once_in_input_order(wide, parse(run("results", done.stdout.strip()).stdout))
    listed = [
        row.split("\t") for row in run("files", "list", "--purpose", "batch").stdout.splitlines()
    ]
    assert [(row[1], row[2]) for row in listed] == [("large.jsonl", "20.0 MB")]


def test_a_failed_batch_is_exit_1_and_says_why(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_bytes(b"{}\n")
    done = run("submit", "bad.jsonl", "--watch")
    assert done.returncode == 1
    assert "Line 1:" in done.stderr
    assert "missing_required_parameter" in run("status", done.stdout.strip()).stdout


def test_on_invalid_skip_runs_the_others(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mixed.jsonl").write_bytes(b"{}\n" + jsonl(LINES))
    done = run("submit", "mixed.jsonl", "--watch", "--on-invalid", "skip")
    assert done.returncode == 0, done.stderr
    errors = parse(run("results", done.stdout.strip(), "--errors").stdout)
    assert ids(errors) == [None]


def test_cancel_says_what_becomes_of_the_batch(run: Run, tmp_path: Path) -> None:
    (tmp_path / "slow.jsonl").write_bytes(jsonl([chat_line("slow", "[[sleep=600]]")]))
    batch_id = run("submit", "slow.jsonl").stdout.strip()
    early = run("results", batch_id)
    assert (early.returncode, early.stdout) == (0, "")
    assert "goes on: these are not all lines" in early.stderr
    assert f"{batch_id} is cancell" in run("cancel", batch_id).stderr
    assert run("status", batch_id, "--watch").returncode == 1
    again = run("cancel", batch_id)
    assert again.returncode == 1
    assert "cancelled" in again.stderr


def test_files_are_listed_and_deleted(run: Run, caller: Caller) -> None:
    file_id = caller.sdk().files.create(file=("a.jsonl", b"{}\n"), purpose="batch").id
    assert run("files", "list").stdout.split("\t")[:3] == [file_id, "a.jsonl", "3 B"]
    assert run("files", "delete", file_id).returncode == 0
    assert run("files", "list").stdout == ""
    gone = run("files", "delete", file_id)
    assert (gone.returncode, gone.stdout) == (1, "")
    assert file_id in gone.stderr


def test_models_are_listed(run: Run) -> None:
    [row] = [line for line in run("models").stdout.splitlines() if "tiny-chat" in line]
    assert row.split("\t") == [
        "offpeak/tiny-chat", "vision", "8,192", "8,192", "0.07", "0.20", "deployed",
    ]  # fmt: skip
    assert run("models", "list", "--all").stdout == run("models").stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("submit", "nowhere.jsonl"), 2, "nowhere.jsonl is not there"),
        (("submit",), 2, "FILE"),
        (("status", "../files"), 2, "is no id"),
        (("status", "batch_0"), 1, "batch_0"),
        (("submit", "lines.jsonl", "--window", "1m"), 2, "'1h' to '7d'"),
        (("submit", "lines.jsonl", "--endpoint", "/v1/chat"), 2, "/v1/chat/completions"),
        (("submit", "lines.jsonl", "--on-invalid", "ignore"), 2, "fail, skip"),
        (("submit", "lines.jsonl", "--metadata", "team"), 2, "KEY=VALUE"),
        (("models", "--api-key", "sk-offpeak-no"), 1, "offpeak keys create"),
        (("models", "--base-url", "http://127.0.0.1:9"), 1, "No answer from http://127.0.0.1:9"),
    ],
)
@pytest.mark.usefixtures("lines")
def test_an_error_is_one_sentence_and_an_exit_code(
    run: Run, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = run(*arguments)
    assert done.returncode == code
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_key_is_made_shown_once_and_listed_by_its_end(
    cloud: LocalCloud, aws: Aws, tmp_path: Path, caller: Caller
) -> None:
    environment = {**cloud.environment, "OFFPEAK_STAGE": "local"}

    def keys(*arguments: str) -> subprocess.CompletedProcess[str]:
        return offpeak("keys", *arguments, environment=environment, cwd=tmp_path)

    account = f"{tmp_path.name}-research"
    mistyped = keys("create", "--account", account)
    assert mistyped.returncode == 1
    assert "There is no account" in mistyped.stderr
    made = keys("create", "--account", account, "--new-account", "--name", "notebook")
    assert made.returncode == 0, made.stderr
    secret = made.stdout.strip()
    stored = aws.accounts.key(aws.key_hashes.hash_key(secret))
    listed = keys("list", "--account", account).stdout.split("\t")
    assert listed[:4] == [stored.id, account, "notebook", f"…{secret[-4:]}"]
    assert secret not in keys("list").stdout

    models = offpeak(
        "models", cwd=tmp_path,
        environment={"OFFPEAK_BASE_URL": caller.base_url, "OFFPEAK_API_KEY": secret},
    )  # fmt: skip
    assert models.returncode == 0, models.stderr
    assert keys("revoke", stored.id).returncode == 0
    assert aws.accounts.key(aws.key_hashes.hash_key(secret)).revoked_at is not None
    assert "There is no key" in keys("revoke", f"key_{'0' * 28}").stderr


def test_a_key_is_made_with_a_scope_and_an_end_and_rotated(
    cloud: LocalCloud, aws: Aws, tmp_path: Path
) -> None:
    environment = {**cloud.environment, "OFFPEAK_STAGE": "local"}

    def keys(*arguments: str) -> subprocess.CompletedProcess[str]:
        done = offpeak("keys", *arguments, environment=environment, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done

    def status(method: str, path: str, secret: str) -> int:
        url, headers = f"{cloud.base_url}/v1{path}", {"Authorization": f"Bearer {secret}"}
        return httpx.request(method, url, headers=headers, trust_env=False, timeout=60).status_code

    account = f"{tmp_path.name}-weak"
    made = keys(
        "create", "--account", account, "--new-account", "--scope", "read", "--expires", "90d",
        "--requests-per-second", "50",
    )  # fmt: skip
    assert "scope read, good until" in made.stderr
    old = aws.accounts.key(aws.key_hashes.hash_key(made.stdout.strip()))
    assert old.lifetime_seconds == 90 * 86_400
    assert status("GET", "/files", made.stdout.strip()) == 200
    assert status("POST", "/files", made.stdout.strip()) == 403
    rotated = keys("rotate", old.id, "--overlap", "1h")
    assert "stops working in 1h" in rotated.stderr
    assert status("GET", "/files", rotated.stdout.strip()) == 200
    assert status("POST", "/files", rotated.stdout.strip()) == 403
    ends = aws.accounts.key(old.hash).expires_at
    assert ends is not None
    assert ends <= aws.clock.now() + 3_600
    listed = [line.split("\t") for line in keys("list", "--account", account).stdout.splitlines()]
    assert [(cells[6], cells[8], cells[9]) for cells in listed] == [("read", "good", "50")] * 2


def test_an_accounts_limits_are_set_by_a_preset_and_lifted_one_by_one(
    cloud: LocalCloud, caller: Caller, tmp_path: Path
) -> None:
    environment = {**cloud.environment, "OFFPEAK_STAGE": "local"}

    def limits(*arguments: str) -> subprocess.CompletedProcess[str]:
        return offpeak(
            "accounts", "limits", caller.account_id, *arguments,
            environment=environment, cwd=tmp_path,
        )  # fmt: skip

    assert limits().stdout.split("\t")[2:] == [
        "10,000,000,000",
        "5,000,000",
        "500",
        "none",
        "100",
        "1",
        "30",
        "none\n",
    ]
    preset = limits("--preset", "together", "--open-batches", "7", "--enqueued-tokens", "20")
    assert preset.stdout.split("\t")[2:] == [
        "100,000,000", "50,000", "7", "20", "100", "1", "30", "none\n",
    ]  # fmt: skip
    assert "within 60 s" in preset.stderr
    wrong = limits("--preset", "nobody")
    assert (wrong.returncode, "together" in wrong.stderr) == (2, True)
    assert limits("--enqueued-tokens", "many").returncode == 2

    client = caller.sdk()
    file = client.files.create(file=("l.jsonl", jsonl(LINES)), purpose="batch")
    body = {
        "input_file_id": file.id, "endpoint": "/v1/chat/completions", "completion_window": "24h",
    }  # fmt: skip
    answer = caller.call("POST", "/batches", json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "token_limit_exceeded")


def test_an_accounts_weight_is_set_and_shown(
    cloud: LocalCloud, caller: Caller, aws: Aws, tmp_path: Path
) -> None:
    environment = {**cloud.environment, "OFFPEAK_STAGE": "local"}

    def weight(*arguments: str) -> subprocess.CompletedProcess[str]:
        return offpeak(
            "accounts", "weight", caller.account_id, *arguments,
            environment=environment, cwd=tmp_path,
        )  # fmt: skip

    changed = weight("3")
    assert (changed.returncode, aws.accounts.get(caller.account_id).weight) == (0, 3)
    assert "within 60 s" in changed.stderr
    assert weight().stdout.split("\t")[-3] == "3"
    assert weight("0").returncode == 2


def test_keys_of_a_deployment_that_is_not_there_are_refused_by_name(
    cloud: LocalCloud, tmp_path: Path
) -> None:
    done = offpeak(
        "keys", "list", "--stage", "nowhere", environment=cloud.environment, cwd=tmp_path
    )
    assert done.returncode == 1
    assert "There is no table offpeak-nowhere-accounts" in done.stderr


def test_keys_without_aws_credentials_say_so(tmp_path: Path) -> None:
    environment = {
        "AWS_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "HOME": str(tmp_path),
    }
    done = offpeak("keys", "list", environment=environment, cwd=tmp_path)
    assert done.returncode == 2
    assert "credentials" in done.stderr
    assert "Traceback" not in done.stderr
