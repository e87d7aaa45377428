from dataclasses import replace

import pytest

from offpeak.core.catalogue import CatalogueError, parse_catalogue
from offpeak.core.models_text import write_models

GOOD = """
[[model]]
id = "offpeak/tiny-chat"
aliases = ["tiny"]
pool = "tiny-chat"
source = "generated"
endpoints = ["/v1/chat/completions"]
context_tokens = 2048
prices = { basis = "base", input = 130_000, output = 400_000 }
engine_args = { max-num-seqs = 16 }
"""


def test_a_model_is_found_by_its_id_and_by_each_alias() -> None:
    catalogue = parse_catalogue(GOOD)
    assert catalogue.find("tiny") is catalogue.find("offpeak/tiny-chat")
    assert catalogue.find("gpt-5") is None
    assert catalogue.of_pool("tiny-chat").engine_args == {"max-num-seqs": 16}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("context_tokens = 2048", ""), "lacks 'context_tokens'"),
        (
            ("context_tokens = 2048", 'context_tokens = "many"'),
            "'many'; it takes a whole number from 1",
        ),
        (("context_tokens = 2048", "context_tokens = -1"), "context_tokens is -1; it takes"),
        (("context_tokens = 2048", "context_tokens = 1\nspeed = 1"), "no field 'speed'"),
        (('"/v1/chat/completions"', '"/v1/chat"'), "one of /v1/chat/completions, "),
        (('pool = "tiny-chat"', 'pool = "Tiny_Chat"'), "must match"),
        (("context_tokens = 2048", "context_tokens = 1\ninstances_min = 2"), "over instances_max"),
        (('aliases = ["tiny"]', 'aliases = ["offpeak/tiny-chat"]'), "given twice"),
        (("[[model]]", "[model"), "not TOML"),
        (("[[model]]", "[[modell]]"), r"no \[\[model\]\] table"),
    ],
)
def test_a_mistake_is_named_with_its_model_and_field(change: tuple[str, str], words: str) -> None:
    with pytest.raises(CatalogueError, match=words):
        parse_catalogue(GOOD.replace(*change))


def test_two_models_never_share_a_pool() -> None:
    other = GOOD.replace("offpeak/tiny-chat", "offpeak/other").replace('["tiny"]', "[]")
    with pytest.raises(CatalogueError, match="the same pool"):
        parse_catalogue(GOOD + other)


CONTEXT = "context_tokens = 2048"
PRICES = '{ basis = "base", input = 130_000, output = 400_000 }'


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((PRICES, '"cheap"'), "prices is 'cheap'; it takes a table with basis, input, output"),
        ((PRICES, '{ basis = "base", input = 1 }'), "lacks 'prices.output'"),
        (("130_000", "0.13"), r"prices\.input is 0\.13; it takes a whole number from 0"),
        (("130_000", "-1"), r"prices\.input is -1; it takes"),
        (('"base"', '"half"'), r"prices\.basis is 'half'; it takes one of base, batch"),
        (("output =", "speed = 1, output ="), r"no field 'prices\.speed'"),
        ((CONTEXT, CONTEXT + "\nmodality = 'smell'"), "it takes one of text, vision, embedding"),
        ((CONTEXT, CONTEXT + "\nmodality = 'embedding'"), "/v1/embeddings is not among"),
        (('["/v1/chat/completions"]', '["/v1/embeddings"]'), "its modality must be embedding"),
        ((CONTEXT, CONTEXT + "\ncompletion_tokens_max = 4096"), "over context_tokens"),
        (
            (CONTEXT, CONTEXT + "\ncompletion_tokens_max = 5\ncompletion_tokens_default = 6"),
            "over completion_tokens_max",
        ),
        ((CONTEXT, CONTEXT + "\ntensor_parallel = 0"), "a whole number from 1 to 64"),
        ((CONTEXT, CONTEXT + "\nstartup_seconds_max = 7200"), "from 60 to 3,600"),
        ((CONTEXT, CONTEXT + "\ninstance_types = ['g5.xlarge']"), "instance_types is 'g5.xlarge'"),
        ((CONTEXT, CONTEXT + "\ninstance_types = ['ml.g5.xlarge', 'ml.g5.xlarge']"), "named twice"),
        ((CONTEXT, CONTEXT + "\nconcurrency = true"), "concurrency is True"),
        (
            (CONTEXT, CONTEXT + "\nweights = { parameters = 8 }"),
            r"lacks 'weights\.active_parameters'",
        ),
        (
            (
                CONTEXT,
                CONTEXT
                + "\nweights = { parameters = 8, active_parameters = 9, precision = 'fp8' }",
            ),
            "a part of its parameters is over them all",
        ),
        (
            (CONTEXT, CONTEXT + "\nkv_cache = { layers = 2, attention_heads = 4 }"),
            "kv_heads and head_dim, or else latent_dim",
        ),
        (("[[model]]", "speed = 1\n[[model]]"), "no 'speed' beside"),
    ],
)
def test_what_a_field_takes_is_said(change: tuple[str, str], words: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(CatalogueError, match=words):
        parse_catalogue(GOOD.replace(*change))


def test_limits_that_are_not_given_are_the_usual_ones_as_far_as_the_context_goes() -> None:
    [small] = parse_catalogue(GOOD).models
    assert (small.completion_tokens_default, small.completion_tokens_max) == (2_048, 2_048)
    [large] = parse_catalogue(GOOD.replace("2048", "131072")).models
    assert (large.completion_tokens_default, large.completion_tokens_max) == (4_096, 16_384)


def test_a_cached_token_costs_what_any_does_unless_its_price_is_given() -> None:
    prices = parse_catalogue(GOOD).models[0].prices
    assert (prices.cached_input_write, prices.cached_input_read) == (130_000, 130_000)
    given = (
        parse_catalogue(GOOD.replace("output", "cached_input_read = 7, output")).models[0].prices
    )
    assert (given.cached_input_write, given.cached_input_read) == (130_000, 7)


def test_a_write_price_that_could_not_be_charged_is_refused() -> None:
    same = GOOD.replace("output", "cached_input_write = 130_000, output")
    assert parse_catalogue(same).models[0].prices.cached_input_write == 130_000
    with pytest.raises(CatalogueError, match="cached_input_write differs from input"):
        parse_catalogue(GOOD.replace("output", "cached_input_write = 140_000, output"))


def test_the_engine_is_told_what_follows_from_the_fields_and_the_operators_word_goes_over_it() -> (
    None
):
    [model] = parse_catalogue(GOOD).models
    assert model.engine_arguments == {"max-model-len": 2_048, "max-num-seqs": 16}
    [spread] = parse_catalogue(
        GOOD.replace(CONTEXT, CONTEXT + "\ntensor_parallel = 8").replace(
            "max-num-seqs = 16", "max-model-len = 1024"
        )
    ).models
    assert spread.engine_arguments == {"max-model-len": 1_024, "tensor-parallel-size": 8}


def test_further_regions_are_named_or_have_what_differs_there() -> None:
    text = write_models([replace(parse_catalogue(GOOD).models[0], instances_max=4)])
    named = parse_catalogue(text.replace("regions = {  }", 'regions = ["eu-north-1"]')).models[0]
    assert named.in_region("eu-north-1").instances_max == 4
    differs = 'regions = { eu-north-1 = { instances_max = 2, instance_types = ["ml.g5.xlarge"] } }'
    other = parse_catalogue(text.replace("regions = {  }", differs)).models[0]
    there = other.in_region("eu-north-1")
    assert (there.instances_max, there.instance_types) == (2, ("ml.g5.xlarge",))
    assert parse_catalogue(write_models([other])).models[0] == other


@pytest.mark.parametrize(
    ("regions", "says"),
    [
        ('["Europe"]', "must match"),
        ("{ eu-north-1 = { instances_min = 9 } }", "over instances_max"),
        ("{ eu-north-1 = { colour = 1 } }", "no field"),
        ("3", "list of names"),
    ],
)
def test_a_region_that_is_none_is_refused(regions: str, says: str) -> None:
    text = write_models([parse_catalogue(GOOD).models[0]])
    with pytest.raises(CatalogueError, match=says):
        parse_catalogue(text.replace("regions = {  }", f"regions = {regions}"))
