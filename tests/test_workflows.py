"""The project's GitHub workflows: valid, pinned, with no more rights than they need, and without secrets."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))


def _audit(*paths: Path) -> subprocess.CompletedProcess[str]:
    """zizmor holds them to GitHub's schema and looks for what an attacker would."""
    return subprocess.run(
        [
            str(Path(sys.executable).with_name("zizmor")), "--offline", "--persona=auditor",
            "--strict-collection", "--no-progress", "--color=never", *map(str, paths),
        ],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def _parsed(path: Path) -> dict[str, Any]:
    # YAML 1.1 reads the key `on` as true.
    parsed: dict[str, Any] = yaml.safe_load(path.read_text().replace("\non:", '\n"on":', 1))
    return parsed


def test_workflows_are_valid_and_have_no_known_weakness() -> None:
    audited = _audit(*WORKFLOWS)
    assert audited.returncode == 0, audited.stdout + audited.stderr


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("jobs:\n  a:\n    runs-on: ubuntu-24.04\n    stepz: []\n", "stepz"),
        (
            "jobs:\n  a:\n    runs-on: ubuntu-24.04\n    steps: [{uses: actions/checkout@v5}]\n",
            "unpinned-uses",
        ),
    ],
)
def test_the_audit_sees_a_broken_or_careless_workflow(
    broken: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "careless.yml"
    path.write_text(f"name: careless\non: push\n{broken}")
    audited = _audit(path)
    assert audited.returncode != 0
    assert message in audited.stdout + audited.stderr


def test_there_are_the_four_that_the_project_needs() -> None:
    names = [path.name for path in WORKFLOWS]
    assert names == ["audit.yml", "deploy.yml", "synth-diff.yml", "test.yml"]


def test_every_lock_is_audited_and_the_suite_does_not_wait_for_it() -> None:
    """Without running it: it needs the internet."""
    asked = subprocess.run(
        ["make", "--dry-run", "--always-make", "audit"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    ).stdout  # fmt: skip
    hashed = [
        path.relative_to(ROOT)
        for path in (*ROOT.glob("requirements*.txt"), *ROOT.glob("containers/*/requirements.txt"))
        if "--hash=" in path.read_text()
    ]
    assert len(hashed) > 8
    assert [str(lock) for lock in hashed if f" {lock}" not in asked] == []
    assert "for folder in . tests/e2e/node" in asked
    assert "pip-audit --strict" in asked  # what can't be looked up is no pass
    assert "audit" not in (ROOT / ".ci/run").read_text()
    test = (ROOT / "Makefile").read_text().partition("\ntest:")[2].partition("\n\n")[0]
    assert "audit" not in test


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_actions_are_pinned_by_commit_with_their_version_beside_it(path: Path) -> None:
    used = re.findall(r"uses: (.+)$", path.read_text(), re.M)
    assert used
    for action in used:
        assert re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_workflow_reads_a_secret_and_every_job_names_its_rights(path: Path) -> None:
    assert "secrets." not in path.read_text()
    workflow = _parsed(path)
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert set(job["permissions"].items()) <= {("contents", "read"), ("id-token", "write")}
        assert job["timeout-minutes"] <= 180


def test_only_the_deployment_proves_who_it_is_to_aws_and_only_after_an_approval() -> None:
    jobs = {
        (path.stem, name): job
        for path in WORKFLOWS
        for name, job in _parsed(path)["jobs"].items()
        if "id-token" in job["permissions"]
    }
    assert set(jobs) == {("deploy", "diff"), ("deploy", "deploy")}
    assert jobs["deploy", "deploy"]["environment"] == "${{ inputs.stage }}"
    assert jobs["deploy", "deploy"]["needs"] == "diff"
    assert "deploy" not in str(jobs["deploy", "diff"]["steps"][-1]["run"]).split("npx cdk ")[1][:6]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_call_targets_that_the_makefile_has(path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    called = re.findall(r"\bmake (?:-C \S+ )?([a-z-]+)$", path.read_text(), re.M)
    called += re.findall(r"run: make ([a-z-]+)", path.read_text())
    assert called
    for target in called:
        assert re.search(rf"^{target}:", makefile, re.M), target
