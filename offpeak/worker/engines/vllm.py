"""vLLM in this process: its async engine under its own OpenAI serving classes.

So chat templates, tools, structured output, logprobs, `n`, `seed`, `stop`, multimodal content and embeddings are
vLLM's, and its answers and errors are those of its server. These are internals: the version is pinned in
`containers/vllm/vllm-version`, this module alone imports them, and `tests/containers/test_vllm_container.py` holds
them.

vLLM's engine core is a process of its own, and its front end tokenises on a thread of its own: what else is done here,
JSON in and out and a result rendered, some hundred microseconds a line, holds up neither.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import State
from starlette.responses import Response
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.launchers.api_server.app_state import init_app_state
from vllm.entrypoints.launchers.cli_args import make_arg_parser, validate_parsed_serve_args
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.entrypoints.openai.completion.protocol import CompletionRequest
from vllm.entrypoints.openai.responses.protocol import ResponsesRequest
from vllm.entrypoints.pooling.embed.protocol import EmbeddingRequest
from vllm.entrypoints.serve import create_error_response
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.platforms import current_platform
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError
from vllm.v1.metrics.loggers import StatLoggerBase

from offpeak.wire.usage import read_usage
from offpeak.worker.engine import EngineAnswer, EngineDead, EngineLimits, error_answer

logger = logging.getLogger(__name__)
Serve = Callable[[Any], Awaitable[Any]]

NOWHERE = "nowhere.invalid"
"""The one host that vLLM may fetch media from, and there is none of this name: the worker has fetched them all."""
_SHUTDOWN_SECONDS = 5.0
_IN_FLIGHT = 2
"""For each place on the engine, in sequences and in KV cache, so many in flight: one runs, one waits in vLLM's queue.
All that run may end in one step (answers of one length that began together do), and then the next step is full without
waiting for us. More would not make it fuller; it would cost memory, and take the choice of the next one out of our
hands. vLLM keeps to the order of arrival, so a prefix that is shared by neighbours is still met in the cache."""
_OURS = frozenset({"stream", "background", "request_id", "session_id", "kv_transfer_params"})
"""Fields that a line has no say in: the engine is shared, and nobody listens to a stream."""


class VllmEngine:
    """`served_name` is the catalogue's id, which answers carry as `model`. `engine_args` are those of vLLM's server,
    with or without hyphens: `{"max-model-len": 8192, "enforce-eager": True}`."""

    def __init__(
        self, model_path: str, served_name: str, completion_tokens_default: int,
        engine_args: Mapping[str, Any],
    ) -> None:  # fmt: skip
        self._name = served_name
        self._completion_tokens_default = completion_tokens_default
        self._arguments = model_path, served_name, engine_args
        self._counters: Counter[str] = Counter()
        self._llm: AsyncLLM | None = None
        self._serving: dict[str, tuple[TypeAdapter[Any], Serve]] = {}

    @property
    def limits(self) -> EngineLimits:
        config = self._started.vllm_config
        sequences = int(config.scheduler_config.max_num_seqs)
        cached = config.cache_config.kv_cache_size_tokens  # None for models that keep nothing
        return EngineLimits(
            requests=_IN_FLIGHT * sequences, tokens=_IN_FLIGHT * int(cached) if cached else None,
            sequences=sequences, context_tokens=int(config.model_config.max_model_len),
        )  # fmt: skip

    async def start(self) -> None:
        try:
            options = parse_arguments(*self._arguments)
        except SystemExit:
            raise EngineDead(f"vLLM refuses the arguments {self._arguments[2]}.") from None
        validate_parsed_serve_args(options)
        # Loading weights takes minutes: on a thread, so that pings are answered (with 503) meanwhile.
        llm: AsyncLLM = await asyncio.to_thread(self._load, options)
        self._llm = llm
        await llm.reset_mm_cache()
        state = State()
        await init_app_state(llm, state, options, await llm.get_supported_tasks())
        self._serving = self._bind(state)

    async def ready(self) -> bool:
        return bool(self._serving) and not self._started.errored

    async def run(self, endpoint: str, body: Mapping[str, Any], *, priority: int) -> EngineAnswer:
        if endpoint not in self._serving:
            return error_answer(404, f"The model '{self._name}' doesn't serve {endpoint}.")
        adapter, serve = self._serving[endpoint]
        given = {key: value for key, value in body.items() if key not in _OURS}
        try:
            request = adapter.validate_python({**given, "model": self._name, "priority": priority})
            answer = await serve(request)
        except ValidationError as error:
            return _invalid(error)
        except EngineDeadError as error:
            raise EngineDead(str(error)) from error
        except Exception as error:  # noqa: BLE001 - vLLM's server maps every exception to a status; so do we
            answer = create_error_response(error)
        if self._started.errored:
            raise EngineDead("vLLM's engine core has died.")
        _insist_on_cancellation()
        return _render(answer)

    async def stop(self) -> None:
        self._serving = {}
        if self._llm is not None:
            # On the loop, so that vLLM's output handler is cancelled before it sees its engine core go.
            self._llm.shutdown(timeout=_SHUTDOWN_SECONDS)

    def stats(self) -> Mapping[str, int]:
        """Steps, prompt and generated tokens, prefix-cache queries and hits in tokens, finished requests; milliseconds
        that these waited in vLLM's queue, and that sequences ran, each for itself (`running_ms`)."""
        return dict(self._counters)

    @property
    def client(self) -> AsyncLLM:
        """vLLM's engine itself, for benchmarks that give it requests past this class."""
        return self._started

    @property
    def _started(self) -> AsyncLLM:
        if self._llm is None:
            raise EngineDead("vLLM has not started.")
        return self._llm

    def _load(self, options: Any) -> AsyncLLM:
        config = AsyncEngineArgs.from_cli_args(options).create_engine_config(
            usage_context=UsageContext.OPENAI_BATCH_RUNNER
        )
        try:
            return AsyncLLM.from_vllm_config(
                vllm_config=config,
                usage_context=UsageContext.OPENAI_BATCH_RUNNER,
                stat_loggers=[_counting_into(self._counters)],
                disable_log_stats=options.disable_log_stats,
            )
        except Exception as error:
            raise EngineDead(f"vLLM did not start: {error}") from error

    def _bind(self, state: State) -> dict[str, tuple[TypeAdapter[Any], Serve]]:
        """The endpoints that this model serves, each with its request type and what answers it."""
        serving: dict[str, tuple[TypeAdapter[Any], Serve]] = {}
        if chat := getattr(state, "openai_serving_chat", None):
            serving["/v1/chat/completions"] = (
                TypeAdapter(ChatCompletionRequest),
                chat.create_chat_completion,
            )
        if completion := getattr(state, "openai_serving_completion", None):
            serving["/v1/completions"] = (
                TypeAdapter(CompletionRequest),
                completion.create_completion,
            )
        if responses := getattr(state, "openai_serving_responses", None):
            serving["/v1/responses"] = (TypeAdapter(ResponsesRequest), responses.create_responses)
        if embedding := getattr(state, "serving_embedding", None):
            serving["/v1/embeddings"] = (TypeAdapter(EmbeddingRequest), embedding)
        for each in (chat, responses):
            if each is not None:
                # For lines that name no limit. vLLM cuts it to what the context leaves, which a field in the
                # request would not be: that is refused when it does not fit.
                each.default_sampling_params["max_tokens"] = self._completion_tokens_default
        return serving


def device_name() -> str:
    """The driver's name of the first GPU, asked without touching it; empty where there is none."""
    if not current_platform.is_cuda():
        return ""
    return str(current_platform.get_device_name())


def parse_arguments(
    model_path: str, served_name: str, engine_args: Mapping[str, Any]
) -> argparse.Namespace:
    """The options of vLLM's server. Raises SystemExit when its parser refuses them."""
    parser = make_arg_parser(FlexibleArgumentParser())
    options: argparse.Namespace = parser.parse_args(
        _arguments(model_path, served_name, engine_args)
    )
    return options


def _insist_on_cancellation() -> None:
    """vLLM aborts a request whose task is cancelled, and then answers "client disconnected" as if nothing was."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def _arguments(model_path: str, served_name: str, engine_args: Mapping[str, Any]) -> list[str]:
    """vLLM's command line. Ours first: what the catalogue or the operator says goes over it."""
    arguments = [
        "--model", model_path, "--served-model-name", served_name,
        "--enable-prompt-tokens-details", "--scheduling-policy", "priority",
        "--allowed-media-domains", NOWHERE,
    ]  # fmt: skip
    for name, value in engine_args.items():
        flag = "--" + name.removeprefix("--").replace("_", "-")
        if value is True:
            arguments.append(flag)
        elif value is False:
            arguments.append(flag.replace("--", "--no-", 1))
        else:
            given = value if isinstance(value, list) else [value]
            arguments += [
                flag,
                *(each if isinstance(each, str) else json.dumps(each) for each in given),
            ]
    return arguments


def _counting_into(counters: Counter[str]) -> Callable[[Any, int], StatLoggerBase]:
    class Counting(StatLoggerBase):  # type: ignore[misc]  # vLLM has no types here
        def __init__(self, *_: Any, **__: Any) -> None:
            self._running, self._since = 0, time.monotonic()

        def record(self, scheduler_stats: Any, iteration_stats: Any, *_: Any, **__: Any) -> None:
            if scheduler_stats is not None:
                now = time.monotonic()
                counters["running_ms"] += round(self._running * (now - self._since) * 1_000)
                self._running, self._since = scheduler_stats.num_running_reqs, now
                counters["steps"] += 1
                counters["cache_queries"] += scheduler_stats.prefix_cache_stats.queries
                counters["cache_hits"] += scheduler_stats.prefix_cache_stats.hits
                counters["preempted"] += (
                    iteration_stats.num_preempted_reqs if iteration_stats else 0
                )
            if iteration_stats is not None:
                counters["prompt_tokens"] += iteration_stats.num_prompt_tokens
                counters["generated_tokens"] += iteration_stats.num_generation_tokens
                counters["finished_requests"] += len(iteration_stats.finished_requests)
                counters["queued_ms"] += round(
                    1_000 * sum(each.queued_time for each in iteration_stats.finished_requests)
                )

        def log_engine_initialized(self) -> None: ...

    return Counting


def _render(answer: Any) -> EngineAnswer:
    """vLLM answers with a response object, an ErrorResponse, or (embeddings) a finished HTTP response."""
    if isinstance(answer, ErrorResponse):
        return EngineAnswer(
            status_code=answer.error.code, body=answer.model_dump_json(by_alias=True).encode()
        )
    if isinstance(answer, Response):
        body = bytes(answer.body)
        return EngineAnswer(status_code=answer.status_code, body=body, usage=read_usage(body))
    body = answer.model_dump_json(by_alias=True).encode()
    return EngineAnswer(status_code=200, body=body, usage=read_usage(body))


def _invalid(error: ValidationError) -> EngineAnswer:
    """400 for a body that is not what the endpoint takes: the first thing that is wrong with it, and where."""
    first = error.errors(include_url=False, include_input=False)[0]
    cause = first.get("ctx", {}).get("error")
    param = getattr(cause, "parameter", None) or _path(first["loc"])
    return error_answer(400, f"{param}: {first['msg']}" if param else first["msg"], param=param)


def _path(location: Sequence[str | int]) -> str | None:
    """`messages.0.content` of pydantic's location, without the names of its own union branches."""
    names = [str(part) for part in location if str(part).replace("_", "").isalnum()]
    return ".".join(names) or None
