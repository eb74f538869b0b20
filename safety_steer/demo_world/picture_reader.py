"""Reading a picture as a caption: what of the known words fits it, and the states those words have in captions.

The image generator knows hundreds of things by the states of their words. A picture goes where a caption goes (the thought of
image-prompt adapters, arXiv 2308.06721): every question about a picture (which object, which place ...) is answered by a
mixture of words, whose states stand side by side as in a caption.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LONGEST = 8  # states of a word
DOUBT = 1.0  # the evidence for no word at all
SURE = 10.0  # how much surer an answer is than its evidence: a word that is a little likely would be drawn a little


class PictureReader(nn.Module):
    """Turn states of pictures (B, T, width) into states as of captions, and how much each of them counts.

    `heads` says how many words answer each question. `words` (W, 8, text_width) are their states, zero rows where a word has
    fewer; `frame` (F, text_width) are states that stand in every caption, `silence` (2, text_width) those of the empty one.
    """

    state_scale: Tensor

    def __init__(self, width: int, hidden: int, heads: tuple[int, ...], text_width: int, frame: int) -> None:
        """Make an untrained reader."""
        super().__init__()
        self.heads = heads
        self.register_buffer("state_scale", torch.ones(width))
        self.enter = nn.Linear(width, hidden)
        self.scores = nn.Linear(hidden, sum(heads) + 1)
        self.words = nn.Parameter(torch.zeros(sum(heads), LONGEST, text_width))
        self.frame = nn.Parameter(torch.zeros(frame, text_width))
        self.silence = nn.Parameter(torch.zeros(2, text_width))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Return states (B, S, text_width) and shares (B, S) in 0..1: silence, frame, and each question's answer.

        All-zero rows are padding; where there is nothing else, only the silence counts.
        """
        real = (pictures != 0).any(-1)
        evidence = self.evidence(pictures, real)
        seen = real.any(1, keepdim=True).to(evidence.dtype)
        states = [part.to(evidence.dtype).expand(len(pictures), -1, -1) for part in (self.silence, self.frame)]
        shares = [(1 - seen).expand(-1, len(self.silence)), seen.expand(-1, len(self.frame))]
        for found, words in zip(evidence.split(self.heads, 1), self.words.split(self.heads), strict=True):
            answer = (SURE * F.pad(found, (0, 1), value=DOUBT)).softmax(-1)[:, :-1] * seen
            share = answer @ (words != 0).any(-1).to(answer.dtype)
            states.append(torch.einsum("bw,wld->bld", answer, words.to(answer.dtype)) / share.clamp(min=1e-6)[..., None])
            shares.append(share)
        return torch.cat(states, 1), torch.cat(shares, 1)

    def evidence(self, pictures: Tensor, real: Tensor) -> Tensor:
        """Return the log-odds (B, W) of each word against no word, summed over all rows that are `real` (B, T)."""
        scores = self.scores(F.gelu(self.enter(pictures / self.state_scale.to(pictures)))).float()
        odds = scores[..., :-1] - scores[..., -1:]
        return odds.masked_fill(~real[..., None], -1e4).logsumexp(1)
