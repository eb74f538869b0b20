"""Judges that know the truth: two classifiers of different build, and an image-text embedding.

They see pictures (B, 3, 64, 64) in -1..1. A classifier says what is in a picture: subject and object (the last class
is none), effect, place, light and style. The embedding gives the CLIP score, the first classifier's features the FID.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .autoencoder import ResidualBlock
from .kinds import world
from .scenes import EFFECTS, LIGHTS, PLACES, STYLES, Scene

LOCAL_HEADS = ("subject", "object")


@dataclass(frozen=True)
class JudgeConfig:
    """Sizes of a judge: widths of its stages, and of the shared space of the embedding."""

    first: int = 40
    second: int = 80
    third: int = 144
    shared: int = 128
    text_width: int = 384


def class_counts() -> dict[str, int]:
    """Return how many classes each head tells apart, the class none included."""
    return {
        "subject": len(world().subjects) + 1,
        "object": len(world().kinds) + 1,
        "effect": len(EFFECTS),
        "place": len(PLACES),
        "light": len(LIGHTS),
        "style": len(STYLES),
    }


def labels(scenes: list[Scene]) -> dict[str, Tensor]:
    """Return the true class numbers (N,) per head."""
    subjects = {kind.id: index for index, kind in enumerate(world().subjects)}
    kinds = {kind.id: index for index, kind in enumerate(world().kinds)}
    columns: dict[str, list[int]] = {
        "subject": [len(subjects) if scene.subject is None else subjects[scene.subject] for scene in scenes],
        "object": [len(kinds) if scene.kind is None else kinds[scene.kind] for scene in scenes],
        "effect": [EFFECTS.index(scene.effect) for scene in scenes],
        "place": [PLACES.index(scene.place) for scene in scenes],
        "light": [LIGHTS.index(scene.light) for scene in scenes],
        "style": [STYLES.index(scene.style) for scene in scenes],
    }
    return {name: torch.tensor(values) for name, values in columns.items()}


class ConvolutionalTower(nn.Module):
    """Pictures to a map of features (B, third, 8, 8)."""

    def __init__(self, config: JudgeConfig) -> None:
        """Make an untrained tower."""
        super().__init__()
        first, second, third = config.first, config.second, config.third
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(2),
            nn.Conv2d(12, first, 3, padding=1),
            ResidualBlock(first),
            nn.Conv2d(first, second, 2, stride=2),
            ResidualBlock(second),
            ResidualBlock(second),
            nn.Conv2d(second, third, 2, stride=2),
            ResidualBlock(third),
            ResidualBlock(third),
            nn.GroupNorm(1, third),
            nn.SiLU(),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the feature map."""
        features: Tensor = self.layers(pictures)
        return features


class ConvolutionalClassifier(nn.Module):
    """Looks for each subject and object at every place of the feature map, and takes the strongest evidence."""

    def __init__(self, config: JudgeConfig) -> None:
        """Make an untrained classifier."""
        super().__init__()
        self.config = config
        self.tower = ConvolutionalTower(config)
        self.gather = nn.Conv2d(config.third, config.third, 3, padding=1)
        self.heads = nn.ModuleDict(
            {
                name: nn.Conv2d(config.third, count, 1) if name in LOCAL_HEADS else nn.Linear(config.third, count)
                for name, count in class_counts().items()
            }
        )

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return logits (B, classes) per head."""
        found = self.everywhere(pictures)
        return {name: value.flatten(2).logsumexp(2) if name in LOCAL_HEADS else value for name, value in found.items()}

    def everywhere(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return the evidence at every place, (B, classes, 8, 8), for subject and object, and logits for the others."""
        features = self.tower(pictures)
        pooled = features.mean((2, 3))
        local = F.silu(self.gather(features))
        return {name: head(local if name in LOCAL_HEADS else pooled) for name, head in self.heads.items()}

    def features(self, pictures: Tensor) -> Tensor:
        """Return (B, third) features for the FID."""
        pooled: Tensor = self.tower(pictures).mean((2, 3))
        return pooled


class PatchClassifier(nn.Module):
    """A transformer over overlapping patches, with one learned query per head."""

    def __init__(self, config: JudgeConfig) -> None:
        """Make an untrained classifier; `third` is its width."""
        super().__init__()
        self.config = config
        width = config.third
        self.patches = nn.Conv2d(3, width, 12, stride=8, padding=2)
        self.position = nn.Parameter(torch.randn(64, width) * 0.02)
        layer = nn.TransformerEncoderLayer(width, 4, width * 4, 0.0, F.gelu, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        counts = class_counts()
        self.queries = nn.Parameter(torch.randn(len(counts), width) * 0.02)
        self.reader = nn.MultiheadAttention(width, 4, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleDict({name: nn.Linear(width, count) for name, count in counts.items()})

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return logits (B, classes) per head."""
        tokens = self.encoder(self.patches(pictures).flatten(2).transpose(1, 2) + self.position)
        queries = self.queries.expand(len(tokens), -1, -1)
        read = self.norm(self.reader(queries, tokens, tokens, need_weights=False)[0])
        return {name: head(read[:, index]) for index, (name, head) in enumerate(self.heads.items())}


class ImageTextEmbedding(nn.Module):
    """A convolutional tower for pictures and a small network over mean-pooled token states for captions."""

    def __init__(self, config: JudgeConfig) -> None:
        """Make an untrained embedding."""
        super().__init__()
        self.config = config
        self.tower = ConvolutionalTower(config)
        self.picture_out = nn.Linear(2 * config.third, config.shared)
        self.text_out = nn.Sequential(
            nn.LayerNorm(config.text_width), nn.Linear(config.text_width, 512), nn.GELU(), nn.Linear(512, config.shared)
        )
        self.temperature = nn.Parameter(torch.tensor(2.5))

    def pictures(self, pictures: Tensor) -> Tensor:
        """Return unit vectors (B, shared) of pictures."""
        features = self.tower(pictures)
        return F.normalize(self.picture_out(torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)), dim=-1)

    def texts(self, states: Tensor) -> Tensor:
        """Return unit vectors (B, shared) of captions from token states (B, T, D) with zero rows as padding."""
        real = (states != 0).any(-1).sum(1, keepdim=True).clamp(min=1)
        return F.normalize(self.text_out(states.sum(1) / real), dim=-1)


JUDGES: Mapping[str, Callable[[JudgeConfig], nn.Module]] = {
    "judge": ConvolutionalClassifier,
    "second-judge": PatchClassifier,
    "embedding": ImageTextEmbedding,
}


def to_network(pictures: Tensor) -> Tensor:
    """Turn pictures (B, H, W, 3) of values 0..255 or 0..1 into (B, 3, H, W) float32 in -1..1."""
    values = pictures.float() / 255 if pictures.dtype == torch.uint8 else pictures.float()
    return values.permute(0, 3, 1, 2) * 2 - 1


@torch.inference_mode()
def judged(classifier: nn.Module, pictures: Tensor, batch: int = 128) -> dict[str, Tensor]:
    """Return the most likely class numbers (N,) per head for pictures (N, 3, 64, 64) in -1..1."""
    parts = [{name: value.argmax(-1) for name, value in classifier(chunk).items()} for chunk in pictures.split(batch)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def accuracy(found: Mapping[str, Tensor], truth: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the share of right answers per head."""
    return {name: (found[name] == truth[name]).float().mean().item() for name in truth}
