import pytest

from offpeak.core.catalogue import CatalogueError, parse_catalogue

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
