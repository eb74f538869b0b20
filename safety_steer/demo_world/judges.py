"""Judges that know the truth: two classifiers of different build, and an image-text embedding.

They see pictures (B, 3, 64, 64) in -1..1. A classifier says what is in a picture: subject and object (the last class
is none), effect, place, light and style. The embedding gives the CLIP score, the first classifier's features the FID.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
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
    """Sizes of a judge: widths of its fine and its coarse stage, and of the shared space of the embedding."""

    fine: int = 64
    coarse: int = 128
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
    """Pictures to a map of features (B, coarse, 8, 8)."""

    def __init__(self, config: JudgeConfig) -> None:
        """Make an untrained tower."""
        super().__init__()
        fine, coarse = config.fine, config.coarse
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(4),
            nn.Conv2d(48, fine, 3, padding=1),
            ResidualBlock(fine),
            ResidualBlock(fine),
            nn.Conv2d(fine, coarse, 2, stride=2),
            ResidualBlock(coarse),
            ResidualBlock(coarse),
            ResidualBlock(coarse),
            nn.GroupNorm(1, coarse),
            nn.SiLU(),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        """Return the feature map."""
        features: Tensor = self.layers(pictures)
        return features


class Classifier(nn.Module, ABC):
    """Looks for each subject and object at every place of a feature map, and for the rest at the whole picture.

    A subject's or object's logit is its evidence against "nothing here" (log-odds) summed over all places in the log-sum-exp
    sense; the logit of none is learned.
    """

    def __init__(self, config: JudgeConfig, width: int) -> None:
        """Make the untrained heads over features of the given width."""
        super().__init__()
        self.config = config
        counts = class_counts()
        self.local = nn.ModuleDict({name: nn.Linear(width, counts[name]) for name in LOCAL_HEADS})
        self.doubt = nn.ParameterDict({name: nn.Parameter(torch.tensor(2.0)) for name in LOCAL_HEADS})
        self.whole = nn.ModuleDict({name: nn.Linear(2 * width, n) for name, n in counts.items() if name not in LOCAL_HEADS})

    @abstractmethod
    def look(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return features of the picture (B, C, 8, 8), and features of what stands at each place (B, 64, C)."""

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return logits (B, classes) per head."""
        return self.in_all(self.everywhere(pictures))

    def everywhere(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return logits (B, 64, classes) at every place for subject and object, and logits (B, classes) for the others."""
        features, local = self.look(pictures)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)
        found = {name: head(local) for name, head in self.local.items()}
        result = found | {name: head(pooled) for name, head in self.whole.items()}
        return {name: result[name].float() for name in class_counts()}

    def in_all(self, found: dict[str, Tensor]) -> dict[str, Tensor]:
        """Turn logits of `everywhere` into logits of the picture."""
        result = dict(found)
        for name in LOCAL_HEADS:
            evidence = (found[name][..., :-1] - found[name][..., -1:]).logsumexp(1)
            result[name] = torch.cat([evidence, self.doubt[name].expand(len(evidence), 1)], 1)
        return result

    def features(self, pictures: Tensor) -> Tensor:
        """Return (B, C) features for the FID."""
        pooled: Tensor = self.look(pictures)[0].mean((2, 3))
        return pooled


class ConvolutionalClassifier(Classifier):
    """The first judge: convolutions."""

    def __init__(self, config: JudgeConfig) -> None:
        """Make an untrained classifier."""
        super().__init__(config, config.coarse)
        self.tower = ConvolutionalTower(config)
        self.gather = nn.Conv2d(config.coarse, config.coarse, 3, padding=1)

    def look(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return features of the picture (B, C, 8, 8), and features of what stands at each place (B, 64, C)."""
        features = self.tower(pictures)
        return features, F.silu(self.gather(features)).flatten(2).transpose(1, 2)


class SeparableClassifier(Classifier):
    """The second judge: patches, then blocks that mix places and channels apart, as in ConvNeXt (arXiv 2201.03545)."""

    def __init__(self, config: JudgeConfig) -> None:
        """Make an untrained classifier."""
        fine, coarse = config.fine, config.coarse
        super().__init__(config, coarse)
        self.tower = nn.Sequential(
            nn.Conv2d(3, fine, 4, stride=4),
            *(SeparableBlock(fine) for _ in range(3)),
            nn.Conv2d(fine, coarse, 2, stride=2),
            *(SeparableBlock(coarse) for _ in range(4)),
            nn.GroupNorm(1, coarse),
        )

    def look(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return features of the picture (B, C, 8, 8), and features of what stands at each place (B, 64, C)."""
        features = self.tower(pictures)
        return features, features.flatten(2).transpose(1, 2)


class SeparableBlock(nn.Module):
    """A residual block: one 3 x 3 filter per channel, then a small network at every place."""

    def __init__(self, width: int) -> None:
        """Make an untrained block."""
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width),
            nn.GroupNorm(1, width),
            nn.Conv2d(width, 3 * width, 1),
            nn.GELU(),
            nn.Conv2d(3 * width, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Take and return a feature map (B, width, H, W)."""
        result: Tensor = x + self.layers(x)
        return result


class ImageTextEmbedding(nn.Module):
    """A convolutional tower for pictures and a small network over mean-pooled token states for captions."""

    def __init__(self, config: JudgeConfig) -> None:
        """Make an untrained embedding."""
        super().__init__()
        self.config = config
        self.tower = ConvolutionalTower(config)
        self.picture_out = nn.Linear(2 * config.coarse, config.shared)
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
    "second-judge": SeparableClassifier,
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
