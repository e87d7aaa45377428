"""`python app.py`: what its context takes, and what it says of a wrong one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from app import (
    ROOT,
    ContextError,
    check_pins,
    choose_line_bytes_max,
    choose_models,
    choose_target,
    read_pin,
)
from infra.roles import ACCESS
from infra.stage import Stage
from offpeak.core.base_image import DOOR_PIN, WORKER_PIN, BaseImage, BaseImageError
from offpeak.core.catalogue import Catalogue
from tests.infra.synthesised import CONTEXT


def _run(out: Path, **context: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "CDK_"))},
        "CDK_CONTEXT_JSON": json.dumps(context),
        "CDK_OUTDIR": str(out),
    }
    return subprocess.run(
        [sys.executable, str(ROOT / "app.py")],
        cwd=out,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


def test_a_stage_that_does_not_exist_ends_with_a_sentence(tmp_path: Path) -> None:
    done = _run(tmp_path, stage="production")
    assert done.returncode == 1
    assert "There is no stage 'production': give -c stage= one of dev, prod, local" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def assembly(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A plain `python app.py`, run from a folder that isn't the project's."""
    out = tmp_path_factory.mktemp("assembly")
    done = _run(out, stage="local", target="host", deploy="phi-4")
    assert done.returncode == 0, done.stderr
    return out


def _asset(assembly: Path, holding: str) -> Path:
    [path] = assembly.glob(f"asset.*/{holding}")
    return path.parents[len(Path(holding).parts) - 1]


def test_it_synthesises_from_anywhere_without_account_docker_or_cli(assembly: Path) -> None:
    templates = {path.name for path in assembly.glob("*.template.json")}
    assert templates == {
        f"offpeak-local-{part}.template.json"
        for part in ("storage", "lifecycle", "api", "door", "inference-phi-4")
    }


def test_every_handler_imports_from_the_assets_alone(assembly: Path) -> None:
    """With no site-packages and only its own variables: what a function lacks here it would lack on Lambda."""
    code = _asset(assembly, "lambdas/api/handler.py")
    layer = _asset(assembly, "python/botocore/__init__.py")
    program = (
        "import importlib, os, sys\n"
        f"sys.path[:0] = [{str(code)!r}, {str(layer / 'python')!r}]\n"
        f"for handler, variables in {_variables(assembly)!r}.items():\n"
        "    os.environ.clear()\n"
        "    os.environ.update(dict.fromkeys(variables, '1'), AWS_REGION='us-east-1')\n"
        "    module, _, name = handler.rpartition('.')\n"
        "    assert callable(getattr(importlib.import_module(module), name))\n"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-B", "-c", program],
        cwd=assembly,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def _variables(assembly: Path) -> dict[str, list[str]]:
    """Handler → the names in its environment."""
    found = {}
    for part in ("lifecycle", "api"):
        template = json.loads((assembly / f"offpeak-local-{part}.template.json").read_text())
        for resource in template["Resources"].values():
            if resource["Type"] == "AWS::Lambda::Function":
                properties = resource["Properties"]
                found[properties["Handler"]] = list(properties["Environment"]["Variables"])
    assert len(found) == len(ACCESS)
    return found


def test_the_worker_imports_from_its_build_context(assembly: Path) -> None:
    context = _asset(assembly, "containers/vllm/Dockerfile")
    program = (
        "import containers.vllm.main, offpeak\n"
        f"assert offpeak.__file__.startswith({str(context)!r}), offpeak.__file__\n"
    )
    done = subprocess.run(
        [sys.executable, "-B", "-c", program],
        cwd=context,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not (context / "models.toml").exists()  # a build argument brings the one model


def test_models_are_chosen_by_id_or_pool(catalogue: Catalogue) -> None:
    assert choose_models(catalogue, "all") == catalogue.models
    chosen = choose_models(catalogue, "phi-4, Qwen/Qwen3-Embedding-0.6B")
    assert [model.pool for model in chosen] == ["phi-4", "qwen3-embedding-0-6b"]
    with pytest.raises(ContextError, match="no model or pool gpt-9"):
        choose_models(catalogue, "phi-4,gpt-9")


def test_models_are_chosen_by_the_names_that_requests_use(every_model: Catalogue) -> None:
    [model] = choose_models(every_model, "llama-3.1-8b-instruct-fp16")
    assert model.pool == "llama-3-1-8b-instruct"
    with pytest.raises(ContextError, match=r"Did you mean llama-3\.1-8b-instruct-fp16"):
        choose_models(every_model, "llama-3.1-8b-instruct-fp61")


def test_a_deploy_without_a_choice_is_two_small_open_models(every_model: Catalogue) -> None:
    chosen = choose_models(every_model, CONTEXT["deploy"])
    assert [model.pool for model in chosen] == ["qwen2-5-7b-instruct", "qwen3-embedding-0-6b"]
    assert all(model.tensor_parallel == 1 for model in chosen)


def test_a_model_that_does_not_fit_its_instances_ends_with_a_sentence(
    tmp_path: Path, every_model: Catalogue
) -> None:
    models = (ROOT / "models.toml").read_text()
    assert '["ml.g6e.xlarge", "ml.g6e.2xlarge"]' in models
    (tmp_path / "models.toml").write_text(
        models.replace('["ml.g6e.xlarge", "ml.g6e.2xlarge"]', '["ml.g6.xlarge"]')
    )
    done = _run(tmp_path, models=str(tmp_path / "models.toml"), deploy="phi-4")
    assert done.returncode == 1
    assert "its weights (29.3 GB) do not fit ml.g6.xlarge (1 × 24 GB)" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_layer_is_for_lambda_or_for_the_host() -> None:
    assert (choose_target("lambda"), choose_target("host")) == ("lambda", "host")
    with pytest.raises(ContextError, match="give one of lambda, host"):
        choose_target("arm")


def test_the_longest_line_is_a_number_of_bytes_within_reason() -> None:
    assert choose_line_bytes_max("2000000") == 2_000_000
    for wrong in ("0", "-1", "1e6", "10000000000"):
        with pytest.raises(ContextError, match="give 1 to"):
            choose_line_bytes_max(wrong)


# ── what containers are built on ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("file", [WORKER_PIN, DOOR_PIN])
def test_the_committed_bases_are_read(file: str) -> None:
    assert read_pin(file).tag


def test_nothing_is_deployed_on_a_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    digests: dict[str, str | None] = {WORKER_PIN: f"sha256:{'0' * 64}", DOOR_PIN: None}

    def pin(file: str) -> BaseImage:
        return BaseImage(repository="registry.example/base", tag="1", digest=digests[file])

    monkeypatch.setattr("app.read_pin", pin)
    check_pins(Stage(name="prod"))
    check_pins(Stage(name="local", emulated=True, door=True))
    with pytest.raises(BaseImageError, match=r"containers/door/base-image\.toml names a tag"):
        check_pins(Stage(name="prod", door=True))
    digests[WORKER_PIN] = None
    check_pins(Stage(name="local", emulated=True))
    with pytest.raises(BaseImageError, match="Pin it first: `offpeak images pin`"):
        check_pins(Stage(name="prod"))


def test_the_refusal_is_a_sentence_that_names_the_command(tmp_path: Path) -> None:
    """In a checkout where nobody has run it, as this one is."""
    if read_pin(WORKER_PIN).digest is not None:
        pytest.skip("This checkout is pinned.")
    done = _run(tmp_path, stage="dev", deploy="phi-4")
    assert done.returncode == 1
    refusal = done.stderr.splitlines()[-1]
    assert refusal.startswith("app.py: containers/vllm/base-image.toml names a tag")
    assert "`offpeak images pin`" in refusal
