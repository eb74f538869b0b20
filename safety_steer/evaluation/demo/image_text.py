"""The demo's image-text model as one: MiniLM and the caption network on the text side, the picture tower on the other; and
tuples of the demo world, a scene and the same scene with an unsafe object.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...demo_world.captions import captions
from ...demo_world.judges import ImageTextEmbedding, to_network
from ...demo_world.kinds import world
from ...demo_world.render import SIZE, render
from ...demo_world.sampling import load_encoder, load_generator, pad_states
from ...demo_world.scenes import Scene, is_held_out, sample_scenes
from ...demo_world.weights import load_network, weights_path
from ...extraction.text_model import TextModel, token_states
from ...negation.collect import Recorded, Rows, record_pairs
from ...negation.layers import linear_layers
from ...negation.models import weights_of
from ...negation.patch import WeightPatch, choose_weights

Steer = Callable[[Sequence[Tensor]], Sequence[Tensor]]


class DemoImageText(nn.Module):
    """Both sides of the demo's embedding, under the names that patches know: `language` is MiniLM's module."""

    def __init__(self, reader: TextModel, embedding: ImageTextEmbedding) -> None:
        """Take the text model that reads captions, and the embedding."""
        super().__init__()
        self.reader, self.embedding, self.language = reader, embedding, reader.model

    def texts(self, texts: Sequence[str], steer: Steer | None = None) -> Tensor:
        """Return vectors (N, d) of captions, whose token states are steered first where that is asked for."""
        states = token_states(self.reader, texts, self.reader.last_layer)
        with torch.inference_mode():
            return self.embedding.texts(pad_states(list(states if steer is None else steer(states))))

    @torch.inference_mode()
    def pictures(self, pictures: Sequence[Tensor]) -> Tensor:
        """Return vectors (N, d) of pictures (H, W, 3) in 0..1, resized to what the world draws."""
        return self.embedding.pictures(torch.cat([_resized(to_network(picture[None])) for picture in pictures]))


@dataclass(frozen=True, eq=False)
class SceneTuples:
    """N tuples of the demo world: captions, and pictures (H, W, 3) in 0..1, of safe scenes and their unsafe twins."""

    safe: tuple[str, ...]
    unsafe: tuple[str, ...]
    safe_pictures: tuple[Tensor, ...]
    unsafe_pictures: tuple[Tensor, ...]

    def tuples(self) -> list[tuple[str, str, Tensor, Tensor]]:
        """Return them one by one, as `safeground.similarities` takes them."""
        return list(zip(self.safe, self.unsafe, self.safe_pictures, self.unsafe_pictures, strict=True))


def load_demo_image_text() -> DemoImageText:
    """Load the demo's embedding and the text model it reads; raises FileFormatError or EncoderError."""
    embedding = cast(ImageTextEmbedding, load_network(weights_path("embedding"), "embedding"))
    return DemoImageText(load_encoder(load_generator("image")), embedding)


def scene_tuples(split: str, count: int, seed: int = 0) -> SceneTuples:
    """Draw unsafe scenes of a split with captions, and of each the same scene with a harmless object in the place of that one.

    Both captions say their scene in a phrasing of their own. The same arguments give the same tuples.
    """
    unsafe = sample_scenes(split, count, "unsafe", seed)
    generator = random.Random(f"twins|{split}|{seed}")
    safe = [_harmless_twin(scene, generator, split) for scene in unsafe]
    texts = [tuple(captions(scenes, seed, split)) for scenes in (safe, unsafe)]
    pictures = [tuple(torch.from_numpy(render(scene)).float() / 255 for scene in scenes) for scenes in (safe, unsafe)]
    return SceneTuples(texts[0], texts[1], pictures[0], pictures[1])


def record_side(model: DemoImageText, side: str, found: SceneTuples, which: str) -> Recorded:
    """Record what goes into layers of one side, "text" or "pictures", of tuples; `which` names them as for `linear_layers`."""
    layers = {
        name: layer
        for name, layer in linear_layers(model, which).items()
        if ("picture" in name) == (side == "pictures") and "pooler" not in name
    }
    embed: Callable[[Sequence[Any]], Tensor] = model.texts if side == "text" else model.pictures

    def read(sample: str | Tensor) -> Rows:
        embed([sample])
        return lambda inputs: inputs.reshape(-1, inputs.shape[-1])

    twins = (found.safe, found.unsafe) if side == "text" else (found.safe_pictures, found.unsafe_pictures)
    return record_pairs(layers, list(zip(*twins, strict=True)), read)


def choose_side(model: DemoImageText, recorded: Recorded, which: str, tau: float, weighted: bool) -> WeightPatch:
    """Choose the weights of recorded layers of the demo's embedding."""
    layers = linear_layers(model, which)
    return choose_weights(recorded, weights_of(layers), "demo image-text embedding", which, tau, weighted)


def _harmless_twin(scene: Scene, generator: random.Random, split: str) -> Scene:
    kinds = [kind.id for kind in world().kinds if kind.group == "benign"]
    while True:
        twin = replace(scene, kind=generator.choice(kinds))
        # As the world draws scenes: combinations kept from training are shown in the other splits only.
        if is_held_out(twin) == (split != "train"):
            return twin


def _resized(pictures: Tensor) -> Tensor:
    if pictures.shape[-2:] == (SIZE, SIZE):
        return pictures
    return F.interpolate(pictures, (SIZE, SIZE), mode="bilinear", antialias=True)
