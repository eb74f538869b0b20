"""Reading a picture as a caption: which of the known words fit it, and the states those words have in captions.

The image generator knows hundreds of things by the states of their words. A picture goes where a caption goes (the thought of
image-prompt adapters, arXiv 2308.06721): every question about a picture (which object, which place ...) is answered by a word,
or by none, and the words' states stand side by side as in a caption.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LONGEST = 8  # states of a word
DOUBT = 1.0  # the evidence for no word at all


@dataclass(frozen=True)
class ReaderConfig:
    """Sizes: width of the places of a picture, of the hidden layer and of a word's states; states that frame every caption.

    `heads` says how many words answer each question.
    """

    width: int
    hidden: int
    heads: tuple[int, ...]
    text_width: int
    frame: int


class PictureReader(nn.Module):
    """Turn what a tower sees at the places of pictures (B, T, width) into states as of captions (B, S, text_width).

    `words` (W, 8, text_width) are the words' states, zero rows where a word has fewer; `frame` (F, text_width) are states that
    stand in every caption.
    """

    place_scale: Tensor

    def __init__(self, config: ReaderConfig) -> None:
        """Make an untrained reader."""
        super().__init__()
        self.config = config
        self.register_buffer("place_scale", torch.ones(config.width))
        self.enter = nn.Linear(config.width, config.hidden)
        self.scores = nn.Linear(config.hidden, sum(config.heads) + 1)
        self.words = nn.Parameter(torch.zeros(sum(config.heads), LONGEST, config.text_width))
        self.frame = nn.Parameter(torch.zeros(config.frame, config.text_width))

    def forward(self, places: Tensor) -> Tensor:
        """Return the frame, and eight states for every question: its likeliest word's, or zero rows for none."""
        states = [self.frame.expand(len(places), -1, -1)]
        heads = self.config.heads
        for found, words in zip(self.evidence(places).split(heads, 1), self.words.split(heads), strict=True):
            known = torch.cat([words, torch.zeros_like(words[:1])])
            states.append(known[F.pad(found, (0, 1), value=DOUBT).argmax(-1)])
        return torch.cat(states, 1)

    def evidence(self, places: Tensor) -> Tensor:
        """Return the log-odds (B, W) of each word against no word, summed over all places."""
        scores = self.scores(F.gelu(self.enter(places / self.place_scale.to(places)))).float()
        evidence: Tensor = (scores[..., :-1] - scores[..., -1:]).logsumexp(1)
        return evidence
