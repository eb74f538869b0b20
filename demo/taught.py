"""A generator in training: it also says what stands at every token, and can look at some tokens only.

Hundreds of kinds are seen so rarely in small pictures that the error of the velocity alone teaches their names slowly. So a
head on a middle block names what stands at each token while it trains (the thought of arXiv 2410.06940, with the known
truth as the teacher), and many steps look only at the tokens of the object, which cost a third (arXiv 2407.15811).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from safety_steer.demo.judges import class_counts, labels
from safety_steer.demo.render import CELL, SIZE, placement
from safety_steer.demo.scenes import Scene
from safety_steer.demo.transformer import SceneTransformer, TransformerConfig

NAMED_AFTER = 4  # blocks
OBJECT_WEIGHT, SUBJECT_WEIGHT = 4.0, 2.0
GRID = 8
FOCUS = 16  # tokens under a sprite


class TaughtTransformer(SceneTransformer):
    """The generator with a head that names what stands at each token: background, an object or a subject."""

    def __init__(self, config: TransformerConfig) -> None:
        """Make an untrained generator."""
        super().__init__(config)
        counts = class_counts()
        self.names = nn.Linear(config.width, 1 + counts["object"] + counts["subject"])

    def learn(self, x: Tensor, timesteps: Tensor, context: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return velocity (B, K, C) and names (B, K, classes) of the tokens `kept` (B, K), or of all for None."""
        hidden = self.enter_grid(x)
        if kept is not None:
            hidden = hidden.gather(1, kept[..., None].expand(-1, -1, hidden.shape[-1]))
        time, shared, tokens, bias = self.told(timesteps, context, hidden.dtype)
        named = hidden
        for index, block in enumerate(self.blocks):
            hidden = block(hidden, shared, tokens, bias, 1)
            if index + 1 == NAMED_AFTER:
                named = hidden
        return self.leave_tokens(hidden, time, 1), self.names(F.layer_norm(named, named.shape[-1:]))

    def plain(self) -> SceneTransformer:
        """Return the generator without what only training needs."""
        result = SceneTransformer(self.config)
        result.load_state_dict({name: value for name, value in self.state_dict().items() if not name.startswith("names.")})
        return result.eval()


def what_stands_where(scenes: list[Scene]) -> tuple[Tensor, Tensor]:
    """Return names (N, 64) for the head and weights (N, 64): sprites matter more than the well-known background."""
    truth = labels(scenes)
    objects = class_counts()["object"]
    names = np.zeros((len(scenes), GRID, GRID), dtype=np.int64)
    weights = np.ones((len(scenes), GRID, GRID), dtype=np.float32)
    for index, scene in enumerate(scenes):
        where = placement(scene)
        layers = [
            (scene.kind, where.object, 1 + int(truth["object"][index]), OBJECT_WEIGHT),
            (scene.subject, where.subject, 1 + objects + int(truth["subject"][index]), SUBJECT_WEIGHT),
        ]
        for there, corner, name, weight in layers if where.subject_last else reversed(layers):
            if there is not None:
                _fill(names[index], corner, name)
                _fill(weights[index], corner, weight)
    return torch.from_numpy(names).flatten(1), torch.from_numpy(weights).flatten(1)


def _fill(grid: NDArray[np.generic], corner: tuple[int, int], value: float) -> None:
    x, y, cells = corner[0] * GRID // SIZE, corner[1] * GRID // SIZE, CELL * GRID // SIZE
    grid[y : y + cells, x : x + cells] = value


def focus(weights: Tensor) -> Tensor:
    """Return the tokens (B, 16) that matter most in weights (B, 64): the object's, or the subject's where there is none."""
    return (weights + torch.rand(weights.shape)).topk(FOCUS, 1).indices


def taught_loss(
    network: TaughtTransformer,
    clean: Tensor,
    noise: Tensor,
    times: Tensor,
    context: Tensor,
    truth: tuple[Tensor, Tensor, Tensor],
    focused: bool,
) -> Tensor:
    """Return the weighted error of the velocity and a tenth of the names' cross-entropy.

    Latents (B, C, 8, 8); `truth` is names and weights (B, 64) and which captions (B,) were shown.
    """
    names, weights, shown = truth
    kept = focus(weights) if focused else None
    share = times.view(-1, 1, 1, 1)
    velocity, said = network.learn((1 - share) * clean + share * noise, times * 1000, context, kept)
    target = (noise - clean).flatten(2).transpose(1, 2)
    if kept is not None:
        target = target.gather(1, kept[..., None].expand(-1, -1, target.shape[-1]))
        names, weights = names.gather(1, kept), weights.gather(1, kept)
    error = (velocity.float() - target).square().mean(-1)
    doubt = F.cross_entropy(said.float().flatten(0, 1), names.flatten(), reduction="none").view_as(weights)
    return ((error + 0.1 * doubt * shown[:, None]) * weights).mean() / weights.mean()
