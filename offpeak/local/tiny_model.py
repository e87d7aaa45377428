"""Generates a small causal language model with random weights: its words are noise, everything else is real.

    python -m offpeak.local.tiny_model DIR [--size tiny|small|large] [--sees]

Runs in vLLM's venv (needs tokenizers, transformers, torch). The same size gives the same weights and vocabulary on the
same interpreter. `tiny` (hidden 128, 2 layers) is for trying and testing; `small` (hidden 512, 4 layers) has a prefill
that costs something, for benchmarks; `large` (hidden 2,048, 20 layers: 1.0 B parameters) is for benchmarks on a GPU.
As an embedding model, serve any with `--runner pooling --convert embed`. One that `--sees` has a vision tower before it
(Idefics 3's, which needs no torchvision), for image parts in chat messages.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from offpeak.local.processes import Process

ROOT = Path(__file__).resolve().parents[2]
CONTEXT_TOKENS = 8_192
VOCABULARY = 4_096
TRAINING_FILES = 150
SEED = 20_260_901
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
IMAGE_PIXELS, PATCH_PIXELS = 56, 14
IMAGE_TOKENS = (IMAGE_PIXELS // PATCH_PIXELS) ** 2
IMAGE_WORDS = ("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>")

# ChatML, with tools announced and called the way the `hermes` tool parser reads them.
CHAT_TEMPLATE = """\
{%- if tools %}<|im_start|>system
You may call these functions, each call as <tool_call>{"name": …, "arguments": {…}}</tool_call>:
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""

# The same, of messages whose content may be parts.
SEEING_TEMPLATE = """\
{%- for message in messages %}<|im_start|>{{ message.role }}
{% if message.content is string %}{{ message.content }}
{%- else %}{% for part in message.content %}
{%- if part.type == "image" %}<image>
{% elif part.type == "text" %}{{ part.text }}{% endif %}{% endfor %}{% endif %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


@dataclass(frozen=True)
class Size:
    hidden: int
    layers: int
    heads: int


SIZES = {"tiny": Size(128, 2, 4), "small": Size(512, 4, 8), "large": Size(2_048, 20, 16)}


def generate(folder: Path, size: Size, *, sees: bool = False) -> None:
    """Writes a model directory that vLLM and transformers load: config, weights, tokenizer, chat template, and of one
    that sees how its images are prepared."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = _dressed(train_tokenizer(_training_texts()), sees=sees)
    if sees:
        _processor(tokenizer).save_pretrained(folder)
    else:
        tokenizer.save_pretrained(folder)
    _random_model(size, tokenizer, sees=sees).save_pretrained(folder)


def begin_generating(folder: Path, python: Path, log: Path) -> Process:
    """In a process of its own, on the interpreter of vLLM's venv."""
    return Process(
        "The model generator",
        [python, "-m", "offpeak.local.tiny_model", folder],
        log=log,
        environment={**os.environ, "HF_HUB_OFFLINE": "1"},
        cwd=ROOT,
    )


def is_generated(folder: Path) -> bool:
    return (folder / "model.safetensors").exists() and (folder / "tokenizer.json").exists()


def train_tokenizer(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Any:
    """Byte-level BPE, a `tokenizers.Tokenizer`. It needs no other library."""
    tokenizers: Any = importlib.import_module("tokenizers")
    raw = tokenizers.Tokenizer(tokenizers.models.BPE())
    raw.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    return raw


def _dressed(raw: Any, *, sees: bool) -> Any:
    transformers: Any = importlib.import_module("transformers")
    end, _, turn_end = SPECIAL_TOKENS
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token=turn_end, pad_token=end, bos_token=end,
        model_max_length=CONTEXT_TOKENS, clean_up_tokenization_spaces=False,
        chat_template=SEEING_TEMPLATE if sees else CHAT_TEMPLATE,
        additional_special_tokens=list(IMAGE_WORDS) if sees else [],
    )  # fmt: skip


def _processor(tokenizer: Any) -> Any:
    """An image is one tile of IMAGE_TOKENS tokens, however large it is."""
    transformers: Any = importlib.import_module("transformers")
    edge = {"longest_edge": IMAGE_PIXELS}
    images = transformers.Idefics3ImageProcessorPil(
        size=edge, max_image_size=edge, do_image_splitting=False
    )
    return transformers.Idefics3Processor(
        image_processor=images, tokenizer=tokenizer, image_seq_len=IMAGE_TOKENS,
        chat_template=SEEING_TEMPLATE,
    )  # fmt: skip


def _training_texts() -> Iterator[str]:
    """The standard library's sources: text that every machine has."""
    library = Path(sysconfig.get_path("stdlib"))
    for path in islice(sorted(library.glob("*.py")), TRAINING_FILES):
        yield path.read_text(encoding="utf-8", errors="ignore")


def _random_model(size: Size, tokenizer: Any, *, sees: bool) -> Any:
    torch: Any = importlib.import_module("torch")
    transformers: Any = importlib.import_module("transformers")
    torch.manual_seed(SEED)
    shape = {
        "vocab_size": len(tokenizer), "hidden_size": size.hidden, "intermediate_size": size.hidden * 3,
        "num_hidden_layers": size.layers, "num_attention_heads": size.heads,
        "num_key_value_heads": size.heads // 2, "max_position_embeddings": CONTEXT_TOKENS,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id, "tie_word_embeddings": not sees,
    }  # fmt: skip
    if sees:
        model = transformers.Idefics3ForConditionalGeneration(
            _seeing_config(size, shape, tokenizer)
        )
    else:
        model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**shape))
    return model.to(torch.bfloat16).eval()


def _seeing_config(size: Size, text: dict[str, Any], tokenizer: Any) -> Any:
    transformers: Any = importlib.import_module("transformers")
    tower = {
        "model_type": "idefics3_vision", "hidden_size": size.hidden,
        "intermediate_size": size.hidden * 3, "num_hidden_layers": 2,
        "num_attention_heads": size.heads, "image_size": IMAGE_PIXELS, "patch_size": PATCH_PIXELS,
    }  # fmt: skip
    return transformers.Idefics3Config(
        vision_config=tower, text_config={"model_type": "llama", **text}, scale_factor=1,
        image_token_id=tokenizer.convert_tokens_to_ids(IMAGE_WORDS[0]),
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m offpeak.local.tiny_model")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", choices=sorted(SIZES), default="tiny")
    parser.add_argument("--sees", action="store_true", help="with a vision tower")
    options = parser.parse_args()
    if is_generated(options.folder):
        print(f"{options.folder} already holds a model.")
        return
    generate(options.folder, SIZES[options.size], sees=options.sees)
    print(f"Wrote {options.folder}.")


if __name__ == "__main__":
    main()
