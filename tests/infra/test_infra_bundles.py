from __future__ import annotations

import hashlib
import os
import time
import zipfile
from pathlib import Path

import pytest

from infra.bundles import BundleFailed, Bundles, Target, make_bundles

SOURCES = (
    "offpeak/__init__.py", "offpeak/core/shard.py", "offpeak/wire/jsonl.py",
    "offpeak/steps/sweep.py", "offpeak/planner/cut_shards.py", "offpeak/aws/connect.py",
    "offpeak/worker/run_shard.py", "offpeak/memory/changes.py", "offpeak/local/cloud.py",
    "lambdas/sweep/handler.py", "containers/vllm/Dockerfile", "containers/vllm/main.py",
    "containers/door/Dockerfile", "containers/door/main.py", "tests/test_it.py",
    "offpeak/core/__pycache__/shard.cpython-313.pyc",
)  # fmt: skip
WHEEL = {
    "botocore/__init__.py": "",
    "botocore/data/endpoints.json": "{}",
    "botocore/data/sqs/service.json": "{}",
    "botocore/data/ec2/service.json": "{}",
    "botocore-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: botocore\nVersion: 1.0\n",
    "botocore-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    "botocore-1.0.dist-info/RECORD": "",
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project whose one dependency is a wheel beside it."""
    root = tmp_path / "project"
    for name in SOURCES:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"# {name}\n")
    (root / "my-models.toml").write_text("# models\n")
    wheel = root / "botocore-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, text in WHEEL.items():
            archive.writestr(name, text)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    _lock(root, f"{wheel.as_uri()} --hash=sha256:{digest}")
    return root


def _lock(root: Path, requirement: str) -> None:
    for name in ("lambda", "tokenizers"):
        (root / f"requirements-{name}.txt").write_text(f"botocore @ {requirement}\n")


def _make(root: Path, target: Target = "host") -> Bundles:
    return make_bundles(root, models=root / "my-models.toml", target=target)


def _files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_functions_carry_what_they_import_and_neither_tests_nor_caches(project: Path) -> None:
    assert _files(_make(project, "lambda").code) == {
        "offpeak/__init__.py", "offpeak/core/shard.py", "offpeak/wire/jsonl.py",
        "offpeak/steps/sweep.py", "offpeak/planner/cut_shards.py", "offpeak/aws/connect.py",
        "lambdas/sweep/handler.py", "models.toml",
    }  # fmt: skip


def test_functions_of_this_machine_carry_bytecode_too(project: Path) -> None:
    files = _files(_make(project).code)
    compiled = {name for name in files if name.endswith(".pyc")}
    assert files - compiled == _files(_make(project, "lambda").code)
    assert len(compiled) == sum(name.endswith(".py") for name in files)


def test_the_container_is_built_from_the_worker_and_not_from_the_functions(project: Path) -> None:
    files = _files(_make(project).container)
    assert {"offpeak/worker/run_shard.py", "containers/vllm/Dockerfile", "models.toml"} <= files
    others = ("lambdas/", "offpeak/steps/", "containers/door/")
    assert not [name for name in files if name.startswith(others)]


def test_the_door_is_built_from_the_steps_and_not_from_the_worker(project: Path) -> None:
    files = _files(_make(project).door)
    assert {"offpeak/steps/sweep.py", "containers/door/Dockerfile"} <= files
    others = ("lambdas/", "offpeak/worker/", "containers/vllm/")
    assert not [name for name in files if name.startswith(others)]


def test_the_models_file_rides_along_under_its_usual_name(project: Path) -> None:
    assert (_make(project).code / "models.toml").read_text() == "# models\n"


def test_the_layer_knows_the_services_that_are_spoken_to_and_no_others(project: Path) -> None:
    data = _make(project).layer / "python/botocore/data"
    assert _files(data) == {"endpoints.json", "sqs/service.json"}


def test_a_second_bundling_makes_nothing(project: Path) -> None:
    first = _make(project)
    made = {path: path.stat().st_ino for path in (first.code, first.layer, first.container)}
    second = _make(project)
    assert second == first
    assert {path: path.stat().st_ino for path in made} == made


def test_changed_code_is_another_bundle_and_the_layer_stays(project: Path) -> None:
    first = _make(project)
    (project / "lambdas/sweep/handler.py").write_text("# changed\n")
    second = _make(project)
    assert second.code != first.code
    assert second.layer == first.layer
    assert second.container == first.container


def test_bundles_that_nobody_uses_any_more_are_let_go(project: Path) -> None:
    old = _make(project).code
    two_days_ago = time.time() - 172_800
    os.utime(old, (two_days_ago, two_days_ago))
    (project / "lambdas/sweep/handler.py").write_text("# changed\n")
    new = _make(project).code
    assert new.exists()
    assert not old.exists()


def test_a_dependency_with_another_hash_is_refused_and_leaves_nothing(project: Path) -> None:
    wheel = project / "botocore-1.0-py3-none-any.whl"
    _lock(project, f"{wheel.as_uri()} --hash=sha256:{'0' * 64}")
    with pytest.raises(BundleFailed, match=r"pip could not install requirements-lambda\.txt"):
        _make(project)
    assert not list((project / ".offpeak/bundles").glob("*layer-*"))


def test_the_tokenizers_layer_has_the_library_alone(project: Path) -> None:
    """What it declares, and its lock leaves out, is not looked for."""
    wheel = project / "tokenizers-1.0-py3-none-any.whl"
    about = (
        "Metadata-Version: 2.1\nName: tokenizers\nVersion: 1.0\nRequires-Dist: huggingface-hub\n"
    )
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tokenizers/__init__.py", "")
        archive.writestr("tokenizers-1.0.dist-info/METADATA", about)
        archive.writestr("tokenizers-1.0.dist-info/WHEEL", WHEEL["botocore-1.0.dist-info/WHEEL"])
        archive.writestr("tokenizers-1.0.dist-info/RECORD", "")
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = f"tokenizers @ {wheel.as_uri()} --hash=sha256:{digest}\n"
    (project / "requirements-tokenizers.txt").write_text(lock)
    made = _make(project)
    names = {path.name for path in (made.tokenizers / "python").iterdir()}
    assert names == {"tokenizers", "tokenizers-1.0.dist-info"}
    assert not (made.layer / "python/tokenizers").exists()


def test_missing_sources_are_named(project: Path) -> None:
    (project / "requirements-lambda.txt").unlink()
    with pytest.raises(BundleFailed, match=r"requirements-lambda\.txt is missing"):
        _make(project)
