"""A tiny language model that writes, pairs of requests for it, and a refusal head made for it."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import torch

from safety_steer.directions.prober import HIDDEN, Prober
from safety_steer.refusal.head import RefusalHead
from safety_steer.refusal.language_model import LanguageModel, load_language_model
from safety_steer.storage.prompt_files import Pair

from . import builders, tiny_models, wording

REFUSAL = "the old red kite"


def save_writer(folder: Path, seed: int = 0, width: int = 48) -> Path:
    """Save a Llama with an output head of its own, and its tokenizer, as a Hugging Face folder."""
    import transformers

    sizes = {"vocab_size": len(wording.VOCABULARY), "hidden_size": width, "num_attention_heads": 4, "intermediate_size": 64}
    config = transformers.LlamaConfig(
        num_key_value_heads=2, num_hidden_layers=3, max_position_embeddings=128, initializer_range=0.3, eos_token_id=3, **sizes
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: Any = transformers.LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tiny_models.make_tokenizer("llama").save_pretrained(folder)
    return folder


def load_writer(folder: Path, seed: int = 0, width: int = 48) -> LanguageModel:
    """Save such a model and load it."""
    return load_language_model(save_writer(folder, seed, width), "cpu")


def pairs(count: int = 48) -> list[Pair]:
    """Pairs of requests that differ in one harmless word, each of them once."""
    found: dict[str, Pair] = {}
    for person in wording.PEOPLE:
        for deed in wording.DEEDS:
            found[f"{person} {deed}"] = Pair(f"a {person} {deed} a umbrella", f"a {person} {deed} a sword", "blades")
    return list(found.values())[:count]


@cache
def random_head(width: int = 48, depth: int = 3, seed: int = 5, strength: float = 0.1) -> RefusalHead:
    """A head of random numbers, which fits no model: its embeddings are nobody's."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    return RefusalHead(
        model=builders.ModelIdentity("writer", "LlamaModel", width, depth),
        layer=1,
        prober=Prober(noise(HIDDEN, width), noise(HIDDEN), 0.02 * noise(2, HIDDEN), noise(2)),
        steer=noise(width, width),
        strength=strength,
        threshold=0.5,
        refusal=REFUSAL,
        system="",
        tokens=torch.tensor([4, 7, 9]),
        rows=noise(3, width).half(),
    )
