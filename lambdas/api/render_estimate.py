"""An estimate as callers read it: ranges, to two or three digits, each with what it rests on."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from offpeak.planner.estimate_usage import PRIOR
from offpeak.steps.estimate_batch import BatchEstimate, Figures, ModelEstimate
from offpeak.wire.money import render_amount
from offpeak.wire.money_answers import AmountRange, EstimateObject, ModelEstimateObject, Range
from offpeak.wire.openai.bodies import EstimateBatchBody
from offpeak.wire.prompt_texts import ANSWER_TOKENS, MESSAGE_TOKENS

WHICH = ("low", "expected", "high")


def render_estimate(
    estimate: BatchEstimate, asked: EstimateBatchBody, now: int, window_seconds: int
) -> EstimateObject:
    """`finishes_at` is null where no model says how large it is."""
    models = estimate.models
    total = {which: sum(_figures(model, which).microdollars for model in models) for which in WHICH}
    digits = min((_digits(model) for model in models), default=2)
    return {
        "object": "batch.estimate",
        "input_file_id": asked.input_file_id,
        "endpoint": asked.endpoint,
        "completion_window": asked.completion_window,
        "requests": sum(model.work.lines for model in models),
        "is_exact": estimate.is_whole,
        "sampled_requests": estimate.lines,
        "invalid_requests": estimate.bad_lines,
        "cost": _amounts(lambda which: _rounded(total[which], digits)),
        "finishes_at": _finishes_at(models, now),
        "expires_at": now + window_seconds,
        "models": [_render_model(model) for model in models],
        "notes": list(_notes(estimate, now, window_seconds)),
    }


def _render_model(model: ModelEstimate) -> ModelEstimateObject:
    digits = _digits(model)

    def each(value: Callable[[Figures], int], digits: int = digits) -> Range:
        return _range(lambda which: _rounded(value(_figures(model, which)), digits))

    return {
        "model": model.model,
        "requests": model.work.lines,
        "input_tokens": each(lambda figures: figures.usage.input_tokens, _input_digits(model)),
        "output_tokens": each(lambda figures: figures.usage.output_tokens),
        "output_tokens_limit": model.work.completion_tokens,
        "cost": _amounts(lambda which: _rounded(_figures(model, which).microdollars, digits)),
        "tokens_basis": model.input_basis,
        "tokenised_requests": model.tokenised_requests,
        "output_tokens_basis": model.output_basis,
        "measured_requests": model.measured_requests,
        "time_basis": model.seconds_basis,
    }


def _range(of: Callable[[str], int]) -> Range:
    return {"low": of("low"), "expected": of("expected"), "high": of("high")}


def _amounts(of: Callable[[str], int]) -> AmountRange:
    low, expected, high = (render_amount(of(which)) for which in WHICH)
    return {"low": low, "expected": expected, "high": high}


def _finishes_at(models: Iterable[ModelEstimate], now: int) -> Range | None:
    """To the minute: when the slowest of the models is done."""
    found: dict[str, int] = {}
    for which in WHICH:
        seconds = [_figures(model, which).seconds for model in models]
        known = [each for each in seconds if each is not None]
        if not known or len(known) < len(seconds):
            return None
        found[which] = (now + round(max(known)) + 59) // 60 * 60
    return _range(found.__getitem__)


def _notes(estimate: BatchEstimate, now: int, window_seconds: int) -> Iterable[str]:
    if estimate.bad_lines:
        yield (
            f"{estimate.bad_lines} of the {estimate.lines} lines that were read would be refused; a batch "
            "fails on them unless 'on_invalid' is 'skip'."
        )
    if not estimate.is_whole:
        yield "The file was sampled: counts are reckoned up from what was read."
    yield from _notes_on_tokens(estimate.models)
    if any(model.seconds_basis == "prior" for model in estimate.models):
        yield "Times rest on a prior from published speeds and data sheets: they may be off by a factor of three."
    finishes = _finishes_at(estimate.models, now)
    if finishes and finishes["high"] > now + window_seconds:
        yield "It may not be done within its completion window: give it a longer one, or split the file."


def _notes_on_tokens(models: Iterable[ModelEstimate]) -> Iterable[str]:
    inputs = {model.input_basis for model in models}
    if "tokenised" in inputs:
        yield (
            "Input tokens rest on a tokenised sample, their range on its error; a chat template counts as "
            f"{MESSAGE_TOKENS} tokens a message and {ANSWER_TOKENS} for the answer's "
            "beginning, images and the like by their bytes."
        )
    if "prior" in inputs:
        yield (
            "Input tokens rest on a prior, not on a measurement: 4 bytes of a line a token (6 to 2). The model's "
            "tokenizer, where the operator has staged it, or your own settled batches replace it."
        )
    if any(model.output_basis == "prior" for model in models):
        few, usual = PRIOR.low.output_tokens, PRIOR.expected.output_tokens
        yield (
            f"Output tokens rest on a prior, not on a measurement: answers of {usual:.0f} tokens ({few:.0f} to "
            "their limits). Your own settled batches replace it."
        )


def _figures(model: ModelEstimate, which: str) -> Figures:
    figures: Figures = getattr(model, which)
    return figures


def _digits(model: ModelEstimate) -> int:
    """Of what rests on answers too."""
    return 3 if model.output_basis == "measured" else 2


def _input_digits(model: ModelEstimate) -> int:
    return 2 if model.input_basis == "prior" else 3


def _rounded(value: int, digits: int) -> int:
    """To so many significant digits: more would only look precise."""
    return int(round(value, digits - len(str(value)))) if value else 0
