"""A tiny untrained generator of pictures or videos with its judges, and inputs for methods."""

from __future__ import annotations

from pathlib import Path

import torch

from safety_steer.demo_world.autoencoder import Autoencoder, AutoencoderConfig
from safety_steer.demo_world.judges import ConvolutionalClassifier, ImageTextEmbedding, JudgeConfig, SeparableClassifier
from safety_steer.demo_world.sampling import DemoGenerator
from safety_steer.demo_world.transformer import SceneTransformer, TransformerConfig
from safety_steer.evaluation.demo.methods import UNSAFE_CONCEPTS, MethodInputs
from safety_steer.evaluation.demo.session import DemoSession
from safety_steer.extraction.text_model import load_text_model
from support import builders


def make_studio(folder: Path, frames: int = 1) -> DemoSession:
    torch.manual_seed(0)
    model = load_text_model(folder)
    width = model.identity.width
    config = TransformerConfig(width=32, depth=1, heads=2, hidden=32, context_width=width, channels=8, frames=frames)
    network = SceneTransformer(config)
    torch.nn.init.normal_(network.leave.weight)
    autoencoder = Autoencoder(AutoencoderConfig(channels=8, fine=8, coarse=8))
    sizes = JudgeConfig(fine=8, coarse=8, text_width=width)
    modules = (ConvolutionalClassifier(sizes), SeparableClassifier(sizes), ImageTextEmbedding(sizes))
    for module in (network, autoencoder, *modules):
        module.eval().requires_grad_(False)
    return DemoSession("tiny", DemoGenerator(network, autoencoder, "tiny", None), model, *modules, reader=model)


def make_inputs(session: DemoSession) -> MethodInputs:
    states = builders.planted_states()
    return MethodInputs(builders.planted_direction(), None, states, states, session.states(UNSAFE_CONCEPTS))
