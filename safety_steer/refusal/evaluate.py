"""Measure a refusal head: what a model answers to unsafe and harmless requests with it and without, judged by phrases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import DataError
from ..extraction.text_model import Progress
from ..statistics import wilson_interval
from .guard import refusing
from .head import RefusalHead
from .judge import BROKEN, COMPLIED, REFUSED, judge
from .language_model import LanguageModel, answers, decoded

MAX_TOKENS = 24  # by hand; enough for a refusal to show


@dataclass(frozen=True, eq=False)
class Written:
    """Answers (token numbers) to N requests, the verdict on each, the prober's scores (N,), and which gates were open."""

    numbers: list[list[int]]
    verdicts: list[str]
    scores: Tensor
    flagged: Tensor

    def share(self, verdict: str) -> tuple[float, tuple[float, float]]:
        """Return the share of answers with this verdict, and Wilson's 95 % interval of it."""
        hits = self.verdicts.count(verdict)
        return hits / len(self.verdicts), wilson_interval(hits, len(self.verdicts))

    def document(self) -> dict[str, Any]:
        """Return the JSON form: no request and no answer is in it."""
        shares = {verdict: self.share(verdict) for verdict in (COMPLIED, REFUSED, BROKEN)}
        return {
            "requests": len(self.verdicts),
            "flagged": int(self.flagged.sum()),
            **{verdict: round(share, 4) for verdict, (share, _) in shares.items()},
            "intervals": {verdict: [round(bound, 4) for bound in bounds] for verdict, (_, bounds) in shares.items()},
        }


def write_answers(
    model: LanguageModel,
    head: RefusalHead,
    requests: Sequence[str],
    strength: float | None = None,
    threshold: float | None = None,
    max_tokens: int = MAX_TOKENS,
    progress: Progress | None = None,
) -> Written:
    """Let the model answer each request with the head on, in the frame the head was trained in; `strength` 0 is the model's
    own answer.

    The gate is read from the very passes that answer. Raises DataError for a number of tokens below 1.
    """
    if max_tokens < 1:
        raise DataError(f"Expected at least 1 token of answer, but got {max_tokens}.")
    scores, flagged = torch.empty(len(requests)), torch.zeros(len(requests), dtype=torch.bool)
    with refusing(model, head, strength, threshold) as guard:

        def keep(rows: list[int]) -> None:
            assert guard.scores is not None
            assert guard.open is not None
            scores[rows], flagged[rows] = guard.scores.cpu(), guard.open.cpu()

        numbers = answers(model, requests, max_tokens, head.system, after_batch=keep, progress=progress)
    return Written(numbers, [judge(text) for text in decoded(model, numbers)], scores, flagged)


def same_answers(one: Written, other: Written, rows: Tensor) -> int:
    """Count the answers of the chosen rows (N,) bool that are alike, token for token."""
    return sum(one.numbers[row] == other.numbers[row] for row in rows.nonzero().flatten().tolist())
