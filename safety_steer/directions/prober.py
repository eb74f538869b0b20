"""AutoSteer's prober (arXiv 2507.13255): a small network that says how unsafe a hidden state is, and how it is trained.

d -> 64 -> 2 with ReLU; cross-entropy and AdamW, as in the paper. It differs where the paper's settings were made for one model
of another size: inputs are standardised (which is part of the weights afterwards), batches and steps are larger, and a tenth of
the rows says when to stop.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..errors import DataError, MismatchError

HIDDEN = 64  # the paper's
BATCH = 64  # by hand, as the next, before anything was measured
RATE = 1e-3  # by hand
DECAY = 1e-2  # by hand
MAX_EPOCHS = 100  # by hand
PATIENCE = 8  # by hand; epochs
MIN_ROWS = 10  # by hand
SCALE_FLOOR = 1e-6  # keeps constant channels from dividing by 0


@dataclass(frozen=True, eq=False)
class Prober:
    """softmax(B relu(A h + a) + b) of raw states h: A (64, d), a (64,), B (2, 64), b (2,); the second output is "unsafe"."""

    inner: Tensor
    inner_bias: Tensor
    outer: Tensor
    outer_bias: Tensor

    @property
    def width(self) -> int:
        """Channels of one state."""
        return int(self.inner.shape[1])

    def log_odds(self, states: Tensor) -> Tensor:
        """Compute the log-odds of "unsafe" for states (N, d) of any dtype, on their device: (N,) float32.

        Raises MismatchError for states of another width.
        """
        if states.shape[-1] != self.width:
            raise MismatchError(
                f"This prober reads states of width {self.width}, but got {states.shape[-1]}. Use the model it was trained in."
            )
        inner, inner_bias, outer, outer_bias = (
            part.to(states.device) for part in (self.inner, self.inner_bias, self.outer, self.outer_bias)
        )
        logits = (states.float() @ inner.T + inner_bias).relu() @ outer.T + outer_bias
        return logits[..., 1] - logits[..., 0]

    def scores(self, states: Tensor) -> Tensor:
        """Compute the probability of "unsafe" for states (N, d), which the paper's gate compares with 0.5: (N,) float32."""
        return self.log_odds(states).sigmoid()


def train_prober(unsafe: Tensor, harmless: Tensor, seed: int = 0) -> Prober:
    """Train a prober on states (N, d) of unsafe and (M, d) of harmless prompts, in order of pairs where they are pairs.

    Every tenth row of each side is held out; training stops when the loss on them has not fallen for 8 epochs, and the weights
    of its lowest point are kept. The global random state is left as it was. Raises DataError for states of two widths, fewer
    than 10 rows of a side, or numbers that are not finite.
    """
    _check(unsafe, harmless)
    rows = torch.cat([unsafe, harmless]).float().cpu()
    truth = torch.cat([torch.ones(len(unsafe)), torch.zeros(len(harmless))]).long()
    held_out = torch.cat([torch.arange(len(unsafe)), torch.arange(len(harmless))]) % MIN_ROWS == MIN_ROWS - 1
    mean, scale = rows[~held_out].mean(0), rows[~held_out].std(0).clamp(min=SCALE_FLOOR)
    inputs = (rows - mean) / scale
    with torch.random.fork_rng(devices=[]), torch.inference_mode(False), torch.enable_grad():
        torch.manual_seed(seed)
        first, last = nn.Linear(inputs.shape[1], HIDDEN), nn.Linear(HIDDEN, 2)
        network = nn.Sequential(first, nn.ReLU(), last)
        _fit(network, inputs[~held_out].clone(), truth[~held_out].clone(), inputs[held_out].clone(), truth[held_out].clone())
    inner = first.weight.detach() / scale
    return Prober(inner, first.bias.detach() - inner @ mean, last.weight.detach(), last.bias.detach())


def _fit(network: nn.Module, inputs: Tensor, truth: Tensor, check: Tensor, check_truth: Tensor) -> None:
    """Train in place, and leave the weights of the lowest loss on the rows held out."""
    optimiser = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    best, waited = float("inf"), 0
    kept = {name: value.clone() for name, value in network.state_dict().items()}
    for _ in range(MAX_EPOCHS):
        for rows in torch.randperm(len(inputs)).split(BATCH):
            optimiser.zero_grad()
            nn.functional.cross_entropy(network(inputs[rows]), truth[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            loss = float(nn.functional.cross_entropy(network(check), check_truth))
        waited = 0 if loss < best else waited + 1
        if waited >= PATIENCE:
            break
        if loss < best:
            best, kept = loss, {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(kept)


def _check(unsafe: Tensor, harmless: Tensor) -> None:
    if unsafe.ndim != 2 or harmless.ndim != 2 or unsafe.shape[1] != harmless.shape[1]:
        raise DataError(
            f"Expected states (N, d) and (M, d) of one width, but got {tuple(unsafe.shape)} and {tuple(harmless.shape)}. "
            "Read both sides from the same layer."
        )
    if min(len(unsafe), len(harmless)) < MIN_ROWS:
        raise DataError(
            f"Expected at least {MIN_ROWS} states of each side, but got {len(unsafe)} unsafe and {len(harmless)} harmless "
            "ones. Add prompts."
        )
    if not bool(torch.isfinite(unsafe).all() and torch.isfinite(harmless).all()):
        raise DataError("The states to train the prober on hold NaN or Inf. Look at the model they were read from.")
