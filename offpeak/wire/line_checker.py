"""The check of an input file's request lines: OpenAI's rules, and a sentence for each that says what to do about it.

Nearly every line of nearly every file is good, so a line is first decoded into the exact shape of a good one, at
gigabytes a second. A line that does not fit is decoded into plain values and walked check by check: that walk is the
rule, and says what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from offpeak.core.batch import Accent
from offpeak.core.catalogue import ENDPOINTS, Catalogue, Model
from offpeak.core.request_line import LineError
from offpeak.wire.prompts import prompt_reader
from offpeak.wire.request_checks import (
    WrongField,
    check_choices,
    check_images,
    check_prompts,
    check_token_limit,
    quote,
    require,
    wrong_type,
)
from offpeak.wire.request_lines import MEDIA
from offpeak.wire.request_shapes import CUSTOM_ID_CHARACTERS_MAX, DIALECTS

_BARE_ACCENTS: frozenset[Accent] = frozenset({"together"})
"""Their lines hold `custom_id` and `body`; the batch's endpoint says where they go."""
_ANY = msgspec.json.Decoder(float_hook=float)
"""Without the hook it refuses 1e999, which it lets pass in fields that it skips."""


class GoodLine(msgspec.Struct, frozen=True, gc=False):
    """`completion_tokens` is what it may generate at most, `prompt` what `prompts` reads of it. A struct, because every
    line makes one."""

    custom_id: str
    model: Model
    completion_tokens: int
    prompt: bytes


@dataclass(frozen=True, slots=True)
class BadLine:
    """`custom_id` is there when it could be read, so that the error file can name the line by it."""

    error: LineError
    custom_id: str | None


class LineChecker:
    """Checks the lines of one batch's input against its endpoint and the models that are served."""

    def __init__(
        self,
        endpoint: str,
        catalogue: Catalogue,
        line_bytes_max: int,
        accent: Accent = "openai",
    ) -> None:
        self._endpoint = endpoint
        self._is_bare = accent in _BARE_ACCENTS
        self._catalogue = catalogue
        self._line_bytes_max = line_bytes_max
        self._dialect = DIALECTS[endpoint]
        decoder = self._dialect.bare_decoder if self._is_bare else self._dialect.decoder
        self._decode = decoder.decode
        self._prompts = prompt_reader(endpoint)
        self._serving = {
            name: (model, model.completion_tokens_default, model.completion_tokens_max)
            for model in catalogue.served
            if endpoint in model.endpoints
            for name in model.names
        }

    def check(self, line: bytes | None, number: int) -> GoodLine | BadLine:
        """`line` is without its newline, None when it is over the limit; `number` is put into the error."""
        if line is None:
            return self.too_long(number)
        try:
            if not line.isascii():
                line.decode()  # msgspec looks at no bytes of what it skips
            decoded = self._decode(line)
            body = decoded.body
            model, default, most = self._serving[body.model]
        except (ValueError, RecursionError, KeyError):
            return self._walk(line, number)
        tokens, prompt = body.completion_tokens(default, most), body.text
        # To look for one byte first takes a tenth of the time, and few texts have it.
        if tokens is None or prompt is None or (b"_" in prompt and MEDIA in prompt):
            return self._walk(line, number)
        return GoodLine(decoded.custom_id, model, tokens, prompt)

    def too_long(self, number: int) -> BadLine:
        """A line that is over the limit, and that nobody has read."""
        message = f"This line is over {self._line_bytes_max:,} bytes. Shorten the request."
        return BadLine(LineError(code="line_too_long", message=message, line=number), None)

    def _walk(self, line: bytes, number: int) -> GoodLine | BadLine:
        custom_id = None
        try:
            request = self._parse(line)
            custom_id = _readable_custom_id(request)
            custom_id = _check_custom_id(request)
            model = self._check_request(request)
            tokens = self._completion_tokens(request["body"], model)
            return GoodLine(custom_id, model, tokens, self._prompts.read(line))
        except WrongField as wrong:
            error = LineError(
                code=wrong.code, message=wrong.message, line=number, param=wrong.param
            )
            return BadLine(error, custom_id)

    def _parse(self, line: bytes) -> dict[str, Any]:
        if not line.strip():
            raise _invalid_json("This line is blank. Remove it.")
        if not _is_utf8(line):
            raise _invalid_json("This line is not UTF-8. Save the file with UTF-8 encoding.")
        try:
            request = _ANY.decode(line)
        except RecursionError:
            raise _invalid_json("This line is nested too deeply. Flatten the request.") from None
        except ValueError as error:
            reason = str(error).removeprefix("JSON is malformed: ")
            raise _invalid_json(
                f"This line is not valid JSON: {reason}. Write one JSON object a line."
            ) from None
        if not isinstance(request, dict):
            raise _invalid_json(
                "This line is JSON, but not an object. Write one JSON object a line."
            )
        return request

    def _check_request(self, request: dict[str, Any]) -> Model:
        if self._is_given(request, "method") and require(request, "method", str) != "POST":
            raise WrongField(
                "invalid_request",
                f"'method' is {quote(request['method'])}. Only 'POST' is supported.",
                "method",
            )
        if self._is_given(request, "url"):
            self._check_url(require(request, "url", str))
        body = require(request, "body", dict)
        model = self._check_model(require(body, "model", str, "body."))
        if body.get("stream"):
            raise WrongField(
                "streaming_unsupported",
                "A batch can't stream. Remove 'stream' from the body, or set it to false.",
                "body.stream",
            )
        if not isinstance(body.get("stream"), bool | None):
            raise wrong_type("body.stream", "a boolean")
        self._check_prompt(body, model)
        check_images(body, model)
        for name in self._dialect.token_limits:
            check_token_limit(body.get(name), f"body.{name}", model)
        for name in self._dialect.choices:
            check_choices(body.get(name), f"body.{name}")
        return model

    def _is_given(self, request: dict[str, Any], name: str) -> bool:
        """Whether to look at it: where it may be left out, null is out."""
        return not self._is_bare or request.get(name) is not None

    def _completion_tokens(self, body: dict[str, Any], model: Model) -> int:
        """As the shapes of good lines say it: the last of the limits that is given, for each of the answers."""
        limits = self._dialect.token_limits
        if not limits:
            return 0
        given = (body[name] for name in reversed(limits) if body.get(name))
        default = self._dialect.tokens_default or model.completion_tokens_default
        return self._answers(body) * next(given, default)

    def _answers(self, body: dict[str, Any]) -> int:
        """To each of its prompts, where it may have several."""
        each = max([1, *(body.get(name) or 1 for name in self._dialect.choices)])
        prompts = body[self._dialect.prompt] if self._dialect.takes_tokens else None
        if isinstance(prompts, list) and not isinstance(prompts[0], int):
            return each * len(prompts)
        return each

    def _check_url(self, url: str) -> None:
        if url == self._endpoint:
            return
        if url not in ENDPOINTS:
            raise WrongField(
                "invalid_url",
                f"The URL {quote(url)} is not supported. Use {quote(self._endpoint)}, the batch's endpoint.",
                "url",
            )
        raise WrongField(
            "url_mismatch",
            f"The URL {quote(url)} differs from the batch's endpoint, {quote(self._endpoint)}. "
            "Send requests for another endpoint in a batch of their own.",
            "url",
        )

    def _check_model(self, name: str) -> Model:
        model = self._catalogue.find(name)
        if model is None:
            raise WrongField("model_not_found", self._catalogue.absence(name), "body.model")
        if self._endpoint not in model.endpoints:
            raise WrongField(
                "invalid_request",
                f"The model {quote(name)} does not serve {self._endpoint}. It serves {', '.join(model.endpoints)}.",
                "body.model",
            )
        return model

    def _check_prompt(self, body: dict[str, Any], model: Model) -> None:
        name = self._dialect.prompt
        if self._dialect.takes_text and body.get(name) == "":
            return
        if self._dialect.takes_text:
            prompt = require(body, name, str | list, "body.")
        else:
            prompt = require(body, name, list, "body.")
        if self._dialect.takes_tokens and isinstance(prompt, list):
            check_prompts(prompt, f"body.{name}", model)


def _check_custom_id(request: dict[str, Any]) -> str:
    custom_id: str = require(request, "custom_id", str)
    if len(custom_id) > CUSTOM_ID_CHARACTERS_MAX:
        raise WrongField(
            "invalid_request",
            f"'custom_id' has {len(custom_id):,} characters; at most {CUSTOM_ID_CHARACTERS_MAX} are allowed.",
            "custom_id",
        )
    return custom_id


def _invalid_json(message: str) -> WrongField:
    return WrongField("invalid_json_line", message)


def _readable_custom_id(request: dict[str, Any]) -> str | None:
    custom_id = request.get("custom_id")
    readable = isinstance(custom_id, str) and len(custom_id) <= CUSTOM_ID_CHARACTERS_MAX
    return custom_id if readable else None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
