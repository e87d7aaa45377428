"""Real vLLM on the CPU with a generated model, in the container's process: what its answers must carry.

These hold the internals of vLLM that `offpeak/worker/engines/vllm.py` stands on; they are what a new version must pass.
"""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from offpeak.core.invocation import Outcome
from offpeak.worker.suspects import Care, Suspects
from tests.containers.container import Container, Containers, answers, error_of, eventually
from tests.containers.vllm_serve import (
    ON_A_CPU,
    START_SECONDS,
    comparable,
    vllm_serve,
    vllm_settings,
)
from tests.worker.world import CHAT, MODEL, chat

pytestmark = [pytest.mark.cloud, pytest.mark.vllm, pytest.mark.timeout(600)]
SCHEMA = {
    "type": "object",
    "properties": {"digit": {"type": "integer", "minimum": 0, "maximum": 9}},
    "required": ["digit"],
    "additionalProperties": False,
}
# Minutes of work for any CPU: whatever a test does in its middle comes before its end.
ENDLESS = [chat("Go on", max_tokens=1_900, ignore_eos=True)] * 400
COMPLETIONS, EMBEDDINGS, RESPONSES = "/v1/completions", "/v1/embeddings", "/v1/responses"


@pytest.fixture(scope="module")
def settings(generated: Callable[..., Path]) -> Mapping[str, str]:
    return vllm_settings(
        generated(), {**ON_A_CPU, "enable-auto-tool-choice": True, "tool-call-parser": "hermes"}
    )


@pytest.fixture(scope="module")
def vllm(containers: Containers, settings: Mapping[str, str], python: str) -> Iterator[Container]:
    with containers.running(settings, python, START_SECONDS) as container:
        yield container


@pytest.fixture
def ask(containers: Containers, vllm: Container) -> Any:
    """Answers to bodies that travel in one shard: each its status and its body."""

    def ask(*bodies: Mapping[str, Any], endpoint: str = "/v1/chat/completions") -> Any:
        world = containers.world(*bodies, endpoint=endpoint)
        results = answers(world, vllm.work(world))
        assert len(results) == len(bodies)
        return [(line["response"]["status_code"], line["response"]["body"]) for line in results]

    return ask


def text_of(body: Mapping[str, Any]) -> str:
    text: str = body["choices"][0]["message"]["content"]
    return text


def test_chat_completions_carry_the_catalogue_s_model_and_usage(
    containers: Containers, vllm: Container
) -> None:
    world = containers.world(
        *(chat(f"Hello {n}", max_tokens=4, ignore_eos=True) for n in range(40))
    )
    report = vllm.work(world)
    assert report.outcome is Outcome.DONE
    assert report.usage.output_tokens == 160
    for line in answers(world, report):
        body = line["response"]["body"]
        assert (body["object"], body["model"]) == ("chat.completion", MODEL)
        assert body["choices"][0]["finish_reason"] == "length"
    in_bodies = sum(
        line["response"]["body"]["usage"]["prompt_tokens"] for line in answers(world, report)
    )
    assert report.usage.input_tokens == in_bodies


def test_a_line_without_a_limit_gets_the_catalogue_s_cut_to_the_context(ask: Any) -> None:
    long = "word " * 2_010  # leaves less of the context than the catalogue's default
    (_, short), (status, cut) = ask(chat("Hello", ignore_eos=True), chat(long, ignore_eos=True))
    assert short["usage"]["completion_tokens"] == 32
    assert status == 200
    assert 0 < cut["usage"]["completion_tokens"] < 32
    assert cut["usage"]["total_tokens"] == 2_048


def test_sampling_parameters_are_vllm_s(ask: Any) -> None:
    sampled = chat("Once", max_tokens=12, temperature=1.0, seed=7, ignore_eos=True)
    (_, one), (_, same), (_, other), (_, three), (_, scored) = ask(
        sampled, sampled, {**sampled, "seed": 8}, {**sampled, "n": 3},
        {**sampled, "logprobs": True, "top_logprobs": 2},
    )  # fmt: skip
    assert text_of(one) == text_of(same) != text_of(other)
    assert [choice["index"] for choice in three["choices"]] == [0, 1, 2]
    tokens = scored["choices"][0]["logprobs"]["content"]
    assert len(tokens) == 12
    assert all(len(token["top_logprobs"]) in {2, 3} for token in tokens)


def test_a_stop_string_ends_the_answer(ask: Any) -> None:
    prompt = chat("Once", max_tokens=30, temperature=0.0, ignore_eos=True)
    ((_, whole),) = ask(prompt)
    text = text_of(whole)
    stop = text[len(text) // 2 :][:3]
    ((_, stopped),) = ask({**prompt, "stop": stop})
    assert text_of(stopped) == text[: text.index(stop)]
    assert stopped["choices"][0]["finish_reason"] == "stop"


def test_structured_output_follows_its_schema(ask: Any) -> None:
    formats = {"type": "json_schema", "json_schema": {"name": "digit", "schema": SCHEMA}}
    wanted = chat("A digit!", max_tokens=200, response_format=formats)
    tight = {"structured_outputs": {"json": SCHEMA, "disable_any_whitespace": True}}
    (_, body), (_, chosen) = ask(
        chat("A digit!", max_tokens=200, **tight),
        chat("Choose!", max_tokens=20, structured_outputs={"choice": ["left", "right"]}),
    )
    assert set(json.loads(text_of(body))) == {"digit"}
    assert text_of(chosen) in {"left", "right"}
    ((status, _),) = ask(wanted)
    assert status == 200


def test_tools_are_called_with_arguments_of_their_schema(ask: Any) -> None:
    function = {"name": "note", "parameters": SCHEMA, "strict": True}
    tools = {"tools": [{"type": "function", "function": function}], "tool_choice": "required"}
    # A model of random weights may go on calling beyond its limit: that is no call then.
    answered = ask(*(chat("Note it!", max_tokens=300, seed=seed, **tools) for seed in range(8)))
    calls = [
        call["function"]
        for _, body in answered
        for call in body["choices"][0]["message"].get("tool_calls") or ()
    ]
    assert calls
    assert {call["name"] for call in calls} == {"note"}
    assert all(set(json.loads(call["arguments"])) == {"digit"} for call in calls)


def test_completions_and_responses_are_served(ask: Any) -> None:
    ((_, completed),) = ask(
        {"model": MODEL, "prompt": "def main", "max_tokens": 5, "echo": True}, endpoint=COMPLETIONS
    )
    assert completed["object"] == "text_completion"
    assert completed["choices"][0]["text"].startswith("def main")
    ((_, responded),) = ask(
        {"model": MODEL, "input": "Hello", "max_output_tokens": 6}, endpoint=RESPONSES
    )
    assert (responded["object"], responded["model"]) == ("response", MODEL)
    assert responded["usage"]["output_tokens"] <= 6


def test_what_vllm_refuses_is_an_error_line_with_its_status(ask: Any) -> None:
    refused = ask(
        chat("word " * 3_000), chat("Hello", max_tokens=9_999), chat("Hello", temperature=-1),
        chat("Hello", messages="none"), chat("Hello", top_logprobs=-7, logprobs=True),
        chat("Hello", response_format={
            "type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "nonsense"}},
        }),
    )  # fmt: skip
    for status, body in refused:
        assert status == 400
        assert set(body["error"]) >= {"message", "type", "param", "code"}
    ((status, _),) = ask({"model": MODEL, "input": "Hello"}, endpoint=EMBEDDINGS)
    assert status == 404


def test_prompt_tokens_from_the_prefix_cache_are_counted(
    containers: Containers, vllm: Container
) -> None:
    shared = "The same long beginning. " * 60
    first = containers.world(chat(shared + "one", max_tokens=2))
    vllm.work(first)
    second = containers.world(chat(shared + "two", max_tokens=2))
    usage = vllm.work(second).usage
    assert usage.cached_tokens > usage.input_tokens * 0.8
    assert vllm.stats()["cache_hits"] >= usage.cached_tokens


def test_lines_in_flight_are_aborted_when_their_run_closes(
    containers: Containers, vllm: Container
) -> None:
    world = containers.world(chat("Hello", max_tokens=1), *ENDLESS)
    with ThreadPoolExecutor() as pool:
        working = pool.submit(vllm.work, world)
        eventually(vllm, lambda: 1 in world.checkpointed())
        world.close_run()
        report = working.result()
    assert report.outcome is Outcome.STOPPED
    generated = vllm.stats()["generated_tokens"]
    time.sleep(0.5)
    assert vllm.stats()["generated_tokens"] == generated


def _schema(**fields: Any) -> dict[str, Any]:
    return {"structured_outputs": {"json": SCHEMA, "disable_any_whitespace": True}, **fields}


# Of each only what both were asked: a limit, and a way to draw that leaves nothing to chance.
COMPARED: list[tuple[str, dict[str, Any]]] = [
    (CHAT, chat("Compare greedily", max_tokens=8, temperature=0, logprobs=True, top_logprobs=2)),
    (CHAT, chat("Compare with a seed", max_tokens=8, temperature=1.0, seed=7, n=2, stop=["zq"])),
    (CHAT, chat("Compare a digit", max_tokens=60, temperature=0, **_schema())),
    (CHAT, chat("Compare a schema", max_tokens=20, temperature=0, response_format={
        "type": "json_schema", "json_schema": {"name": "digit", "schema": SCHEMA}})),
    (CHAT, chat("Compare a choice", max_tokens=20, temperature=0,
                structured_outputs={"choice": ["left", "right"]})),
    (CHAT, chat("Compare a call", max_tokens=120, temperature=1.0, seed=3, tool_choice="required",
                tools=[{"type": "function", "function": {"name": "note", "parameters": SCHEMA}}])),
    (CHAT, chat("word " * 3_000, max_tokens=4)),
    (CHAT, chat("Compare what is too much", max_tokens=9_999)),
    (COMPLETIONS, {"model": MODEL, "prompt": "Compare def main", "max_tokens": 6, "temperature": 0,
                   "echo": True, "logprobs": 1}),
    (COMPLETIONS, {"model": MODEL, "prompt": ["Compare one", "Compare two"], "max_tokens": 6,
                   "temperature": 0.8, "seed": 5}),
]  # fmt: skip
COMPARED_VECTORS: list[dict[str, Any]] = [
    {"model": MODEL, "input": ["one", "two and more"]},
    {"model": MODEL, "input": "three", "encoding_format": "base64"},
    {"model": MODEL, "input": ["four", "five"], "encoding_format": "float", "dimensions": 32},
    {"model": MODEL, "input": [[5, 6, 7], [8, 9]]},
    {"model": MODEL, "input": "six", "dimensions": 10_000},
    {"model": MODEL, "input": "word " * 3_000},
]


def test_answers_are_those_of_vllm_serve_field_by_field(
    ask: Any, settings: Mapping[str, str], python: str, tmp_path: Path
) -> None:
    """One after the other on both sides, so that what else runs changes no rounding."""
    arguments = {
        **json.loads(settings["OFFPEAK_ENGINE_ARGS"]),
        "enable-prompt-tokens-details": True,
    }
    with vllm_serve(
        python, settings["OFFPEAK_MODEL_PATH"], arguments, settings, tmp_path, START_SECONDS
    ) as server:
        for endpoint, body in COMPARED:
            ((status, ours),) = ask(body, endpoint=endpoint)
            assert (status, comparable(ours)) == tuple(
                map(comparable, server.ask(endpoint, body))
            ), body


def test_embeddings_are_served_by_a_pooling_model(
    containers: Containers, settings: Mapping[str, str], python: str, tmp_path: Path
) -> None:
    pooling = {
        **ON_A_CPU, "runner": "pooling", "convert": "embed",
        "hf-overrides": {"is_matryoshka": True},
    }  # fmt: skip
    environment = {**settings, "OFFPEAK_ENGINE_ARGS": json.dumps(pooling)}
    world = containers.world(
        {"model": MODEL, "input": ["one", "two"]},
        {"model": MODEL, "input": "three", "encoding_format": "base64"},
        {"model": MODEL, "input": "word " * 3_000},
        endpoint=EMBEDDINGS,
    )  # fmt: skip
    with containers.running(environment, python, START_SECONDS) as container:
        report = container.work(world)
        ((status, _),) = [
            (line["response"]["status_code"], line) for line in answers(world, report)[2:]
        ]
        theirs = containers.world(*COMPARED_VECTORS, endpoint=EMBEDDINGS)
        ours = [line["response"] for line in answers(theirs, container.work(theirs))]
        with vllm_serve(
            python, settings["OFFPEAK_MODEL_PATH"], pooling, settings, tmp_path, START_SECONDS
        ) as server:
            for body, answer in zip(COMPARED_VECTORS, ours, strict=True):
                expected = server.ask(EMBEDDINGS, body)
                assert (answer["status_code"], comparable(answer["body"])) == tuple(
                    map(comparable, expected)
                ), body
    first, second, _ = answers(world, report)
    vectors = [item["embedding"] for item in first["response"]["body"]["data"]]
    assert [len(vector) for vector in vectors] == [128, 128]
    assert isinstance(second["response"]["body"]["data"][0]["embedding"], str)
    assert first["response"]["body"]["model"] == MODEL
    assert report.usage.input_tokens > 0
    assert status == 400


def test_a_line_that_kills_the_engine_core_fails_the_invocation_and_leaves_word_of_what_was_on_it(
    containers: Containers, settings: Mapping[str, str], python: str
) -> None:
    """What comes of the suspects in the attempts that follow is `test_poison.py`'s, whose engine starts at once."""
    poisonous = {
        **json.loads(settings["OFFPEAK_ENGINE_ARGS"]),
        "logits-processors": ["tests.containers.poison:Poison"],
    }
    environment = {**settings, "OFFPEAK_ENGINE_ARGS": json.dumps(poisonous)}
    world = containers.world(*ENDLESS[:3], chat("Die", vllm_xargs={"poison": 1}), *ENDLESS[:3])
    with containers.running(environment, python, START_SECONDS) as container:
        answer = container.invoke(world)
        assert answer.status_code == 500
        assert error_of(answer)["code"] == "engine_dead"
        with pytest.raises(Exception, match="status 1"):
            container.process.wait_for_end(30)
    order = world.order
    suspects = Suspects(
        order.work_prefix, 2, reader=world.memory.reader, writer=world.memory.writer
    )
    suspects.load()
    assert suspects.care_for(4) is Care.FEW


def test_sigterm_while_the_model_loads_ends_the_process_soon(
    containers: Containers, settings: Mapping[str, str], python: str
) -> None:
    with containers.started(settings, python) as container:
        eventually(container, lambda: container.ping() == 503, 60)
        time.sleep(1)
        container.process.send(signal.SIGTERM)
        container.process.wait_for_end(25)
