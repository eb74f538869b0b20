"""A generator in training: it also says what stands at every token, and can look at some tokens only.

Hundreds of kinds are seen so rarely in small pictures that the error of the velocity alone teaches their names slowly. So a
head on a middle block names what stands at each token while it trains (the thought of arXiv 2410.06940, with the known
truth as the teacher), and many steps look only at the tokens of the object, which costs less (arXiv 2407.15811).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from safety_steer.demo_world.judges import class_counts, labels
from safety_steer.demo_world.render import CELL, PATCH, SIZE, Layer, layers
from safety_steer.demo_world.scenes import Scene
from safety_steer.demo_world.transformer import TIMESTEPS, SceneTransformer, TransformerConfig, to_grid

NAMED_AFTER = 4  # blocks
OBJECT_WEIGHT = 4.0
GRID = SIZE // PATCH
FOCUS = 16  # tokens under a sprite


class TaughtTransformer(SceneTransformer):
    """The generator with a head that names what stands at each token: background, an object or a subject."""

    def __init__(self, config: TransformerConfig) -> None:
        """Make an untrained generator."""
        super().__init__(config)
        counts = class_counts()
        self.names = nn.Linear(config.width, 1 + counts["object"] + counts["subject"])

    def learn(self, x: Tensor, timesteps: Tensor, context: Tensor, kept: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return velocity (B, K, C or 2 * C) and names (B, K, classes) of the tokens `kept` (B, K), or of all for None."""
        grid = to_grid(x)
        hidden = self.enter_grid(grid, timesteps)
        if kept is not None:
            grid, hidden = chosen(grid, kept), chosen(hidden, kept)
        time, shared, tokens, bias = self.condition(timesteps, context, hidden.dtype)
        named = hidden
        for index, block in enumerate(self.blocks):
            hidden = block(hidden, shared, tokens, bias)
            if index + 1 == NAMED_AFTER:
                named = hidden
        return self.leave_grid(hidden, time, grid, timesteps), self.names(F.layer_norm(named, named.shape[-1:]))

    def plain(self) -> SceneTransformer:
        """Return the generator without what only training needs."""
        result = SceneTransformer(self.config)
        result.load_state_dict({name: value for name, value in self.state_dict().items() if not name.startswith("names.")})
        return result.eval()


def chosen(rows: Tensor, kept: Tensor) -> Tensor:
    """Return the rows `kept` (B, K) of (B, N, D)."""
    return rows.gather(1, kept[..., None].expand(-1, -1, rows.shape[-1]))


def what_stands_where(scenes: list[Scene], poses: int = 1, subject_weight: float = 2.0) -> tuple[Tensor, Tensor]:
    """Return names (N, poses * 64) for the head and weights of the same shape.

    Sprites matter more than the well-known background, and what is covered has no name.
    """
    truth = labels(scenes)
    matters = {"object": OBJECT_WEIGHT, "subject": subject_weight}
    first = {"object": 1, "subject": 1 + class_counts()["object"]}
    names = np.zeros((len(scenes), poses, GRID, GRID), dtype=np.int16)
    weights = np.ones((len(scenes), poses, GRID, GRID), dtype=np.float32)
    for index, scene in enumerate(scenes):
        for pose in range(poses):
            for layer in layers(scene, pose / max(poses - 1, 1), poses > 1):
                cells = _cells(layer)
                names[index, pose][cells] = first[layer.head] + int(truth[layer.head][index])
                weights[index, pose][cells] = matters[layer.head]
    return torch.from_numpy(names).flatten(1), torch.from_numpy(weights).flatten(1)


def _cells(layer: Layer) -> tuple[slice, slice]:
    """Return the rows and columns of the grid under a sprite."""
    side = round(CELL * layer.move[2])
    left, top = layer.corner[0] + layer.move[0] + (CELL - side) / 2, layer.corner[1] + layer.move[1] + CELL - side
    rows, columns = ((max(int(at) // PATCH, 0), max(int(at + side + PATCH - 1) // PATCH, 0)) for at in (top, left))
    return slice(*rows), slice(*columns)


def focus(weights: Tensor) -> Tensor:
    """Return the sixteen tokens a pose that matter most in weights (B, N): the object's, or the subject's without one."""
    count = FOCUS * weights.shape[1] // (GRID * GRID)
    return (weights + torch.rand(weights.shape)).topk(count, 1).indices


def taught_loss(
    network: TaughtTransformer,
    clean: Tensor,
    noise: Tensor,
    times: Tensor,
    context: Tensor,
    truth: tuple[Tensor, Tensor, Tensor],
    kept: Tensor | None,
) -> Tensor:
    """Return the weighted error of the velocity and a tenth of the names' cross-entropy, of the tokens `kept` or of all.

    Latents (B, C, 8, 8) or (B, C, T, 8, 8); `truth` is names and weights (B, N) and which captions (B,) were shown.
    """
    names, weights, shown = truth
    share = times.view(-1, *[1] * (clean.dim() - 1))
    velocity, said = network.learn((1 - share) * clean + share * noise, times * TIMESTEPS, context, kept)
    target = to_grid(noise - clean)
    if kept is not None:
        target, names, weights = chosen(target, kept), names.gather(1, kept), weights.gather(1, kept)
    error = (velocity.float() - target).square().mean(-1)
    doubt = F.cross_entropy(said.float().flatten(0, 1), names.long().flatten(), reduction="none").view_as(weights)
    return ((error + 0.1 * doubt * shown[:, None]) * weights).mean() / weights.mean()
