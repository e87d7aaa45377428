"""Checks of single fields of a request line, each with a sentence that says what to do about it."""

from __future__ import annotations

from typing import Any

from offpeak.core.catalogue import Model
from offpeak.core.destination import Reach
from offpeak.core.errors import InvalidRequest
from offpeak.core.image import image_parts, parse_image_url
from offpeak.wire.request_shapes import CHOICES_MAX, INPUTS_MAX

QUOTED_CHARACTERS_MAX = 80
MISSING = "missing_required_parameter"
_TYPE_NAMES: dict[Any, str] = {
    str: "a string", dict: "an object", list: "an array", str | list: "a string or an array",
}  # fmt: skip


class WrongField(Exception):
    """A check failed: `code` is OpenAI's, `param` names the field."""

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.param = code, message, param


def require(fields: dict[str, Any], name: str, type_: Any, path: str = "") -> Any:
    """The field's value. Missing, null and empty are the same mistake."""
    param = path + name
    value = fields.get(name)
    if value is None:
        raise WrongField(MISSING, f"Missing required parameter: '{param}'.", param)
    if not isinstance(value, type_):
        raise wrong_type(param, _TYPE_NAMES[type_])
    if not value:
        raise WrongField(MISSING, f"'{param}' is empty. It is required.", param)
    return value


def wrong_type(param: str, wanted: str) -> WrongField:
    return WrongField("invalid_request", f"'{param}' must be {wanted}.", param)


def check_token_limit(value: Any, param: str, model: Model) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise wrong_type(param, "a whole number")
    if value > model.completion_tokens_max:
        raise WrongField(
            "invalid_request",
            f"'{param}' is {value if value < 10**15 else 'too large'}; {model.id} generates at most "
            f"{model.completion_tokens_max} tokens a request.",
            param,
        )


def check_images(body: dict[str, Any], model: Model) -> None:
    """What can be known of them without a look; the worker has the last word."""
    try:
        for part in image_parts(body):
            if model.modality != "vision":
                raise WrongField(
                    "invalid_request",
                    f"{model.id} takes no images. GET /v1/models says which models do.",
                    part.param,
                )
            parse_image_url(part.url, Reach.LOOPBACK, param=part.param)
    except InvalidRequest as error:
        raise WrongField(error.code, error.message, error.param) from None


def check_choices(value: Any, param: str) -> None:
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= CHOICES_MAX:
        raise wrong_type(param, f"a whole number from 1 to {CHOICES_MAX}")


def check_prompts(prompts: list[Any], param: str, model: Model) -> None:
    """Texts, or prompts that are tokens already, whose number is known: one, or a list of them."""
    if len(prompts) > INPUTS_MAX and not isinstance(prompts[0], int):
        raise WrongField(
            "invalid_request",
            f"'{param}' has {len(prompts):,} elements; at most {INPUTS_MAX:,} go into one request.",
            param,
        )
    longest = max((len(each) for each in (prompts, *prompts) if _is_tokens(each)), default=0)
    if longest > model.context_tokens:
        raise WrongField(
            "invalid_request",
            f"'{param}' has a prompt of {longest:,} tokens; the context of {model.id} is {model.context_tokens:,}.",
            param,
        )


def _is_tokens(prompt: Any) -> bool:
    return isinstance(prompt, list) and bool(prompt) and isinstance(prompt[0], int)


def quote(text: str) -> str:
    return repr(text if len(text) <= QUOTED_CHARACTERS_MAX else text[:QUOTED_CHARACTERS_MAX] + "…")
