"""Train a refusal head: the layer by the Safety Awareness Score, the prober, tau on harmless requests set aside, then W.

W is trained on hidden states gathered once: in front of a refusal that is given (teacher forcing) they do not depend on W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, kl_div, log_softmax

from ..directions.prober import Prober, train_prober
from ..errors import DataError
from ..extraction.text_model import Progress
from ..statistics import auroc, mean_pairwise_cosine
from ..storage.checks import MAX_TEXT
from ..storage.prompt_files import Pair
from .guard import embedding_rows
from .head import RefusalHead, check_strength
from .language_model import LanguageModel, end_tokens, request_ids
from .states import plain_states, refused_states

REFUSAL = "I'm sorry, but I can't assist with that."  # the paper's sentence
STRENGTH = 0.1  # the paper's eps
THRESHOLD = 0.5  # the paper's tau, here the least
FALSE_POSITIVES = 0.01  # by hand, as are the next; of harmless requests set aside
SET_ASIDE = 4
MIN_REQUESTS = 8  # of a kind that are set aside
PLACES = 4
STEPS = 150
ROWS = 128
LEARNING_RATE = 1e-3
KEEP = 1.0
TOP, OTHERS, SAMPLE = 16, 1024, 64


@dataclass(frozen=True)
class TrainSettings:
    """What is trained for: the sentence, eps, the system message of the requests, and the seed."""

    refusal: str = REFUSAL
    strength: float = STRENGTH
    system: str = ""
    seed: int = 0

    def check(self, pairs: int) -> None:
        """Raise DataError for fewer than 32 pairs, text that is no line, or a strength out of range: ask before work."""
        if pairs < SET_ASIDE * MIN_REQUESTS:
            raise DataError(
                f"A refusal needs {SET_ASIDE * MIN_REQUESTS} pairs of requests or more, but got {pairs}. Give more."
            )
        for name, text in (("refusal", self.refusal), ("system message", self.system)):
            if len(text) > MAX_TEXT or not text.isprintable():
                raise DataError(f"Expected a {name} of one line of at most {MAX_TEXT:,} characters, but got '{text[:40]}'.")
        if not self.refusal.strip():
            raise DataError("The sentence to refuse with is empty. Give one, or leave the option out.")
        check_strength(self.strength)
        if self.strength == 0:
            raise DataError("A refusal cannot be trained for strength 0. Give a strength above it.")


@dataclass(frozen=True)
class TrainReport:
    """How it went: (layer, Safety Awareness Score) of all layers, the prober on requests set aside, and the loss of W."""

    curve: list[tuple[int, float]]
    layer: int
    held_out_auroc: float
    held_out_flagged: float
    threshold: float
    loss_before: float
    loss_after: float


def train(
    model: LanguageModel,
    pairs: Sequence[Pair],
    harmless: Sequence[str] = (),
    settings: TrainSettings = TrainSettings(),
    encode: Progress | None = None,
    fit: Progress | None = None,
) -> tuple[RefusalHead, TrainReport]:
    """Train a head on pairs of a safe and an unsafe request, and on more harmless requests.

    A fourth of all is set aside by the seed: the prober does not see it, and tau is set there so that 1 % of its harmless
    requests reach it, at least 0.5. W learns from all requests.
    Raises DataError like `TrainSettings.check`.
    """
    settings.check(len(pairs))
    refusal = refusal_ids(model, settings.refusal)
    plain = [*(pair.safe for pair in pairs), *harmless]
    unsafe_ids = request_ids(model, [pair.unsafe for pair in pairs], settings.system)
    plain_ids = request_ids(model, plain, settings.system)
    total = len(unsafe_ids) + len(plain_ids)
    refused = refused_states(model, unsafe_ids, refusal, _shifted(encode, 0, total))
    kept = plain_states(model, plain_ids, PLACES, _shifted(encode, len(unsafe_ids), total))
    differences = refused.layers - kept.layers[: len(pairs)]
    curve = [(layer, mean_pairwise_cosine(differences[:, layer])) for layer in range(1, differences.shape[1])]
    layer = max(curve, key=lambda score: score[1])[0]
    prober, threshold, quality = _probe(refused.layers[:, layer], kept.layers[:, layer], len(pairs), settings.seed)
    targets = torch.tensor(refusal).expand(len(unsafe_ids), -1)
    steer, losses = train_steer(
        model.head, refused.final.flatten(0, 1), targets.flatten(), kept.final.flatten(0, 1), settings, model.device, fit
    )
    tokens = torch.tensor(sorted(set(refusal)))
    rows = embedding_rows(model.causal.get_input_embeddings(), tokens, model.device).half()
    head = RefusalHead(
        model.text.identity, layer, prober, steer, settings.strength, threshold, settings.refusal, settings.system, tokens, rows
    )
    return head, TrainReport(curve, layer, *quality, threshold, *losses)


def refusal_ids(model: LanguageModel, sentence: str) -> list[int]:
    """Return the token numbers of a refusal, with the end of the answer behind it."""
    numbers = list(model.text.tokenizer(sentence, add_special_tokens=False)["input_ids"])
    return [*numbers, *sorted(end_tokens(model))[:1]]


def train_steer(
    head: nn.Module,
    hidden: Tensor,
    targets: Tensor,
    kept: Tensor,
    settings: TrainSettings,
    device: torch.device,
    progress: Progress | None = None,
) -> tuple[Tensor, tuple[float, float]]:
    """Train W (d, d) from zero, everything else frozen; return it and the refusal's loss before and after.

    Cross-entropy of the head's answer to H + eps H W^T at states (N, d) in front of the N tokens `targets`, and, so that
    harmless text stays as it is, the Kullback-Leibler divergence from the head's own answer at states `kept` (M, d).
    In training the softmax runs over the tokens that matter (`likely_tokens`) and a fresh random thousand, so that no other
    token rises unseen; the losses returned are over the whole vocabulary, at 64 of the states.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    with torch.inference_mode(False), torch.enable_grad():
        hidden, kept, targets = hidden.to(device), kept.to(device), targets.to(device)
        likely = likely_tokens(head, torch.cat([hidden, kept]), targets)
        weight, bias = _weight(head), getattr(head, "bias", None)
        places = torch.searchsorted(likely, targets)
        scaled = torch.zeros(hidden.shape[1], hidden.shape[1], device=device, requires_grad=True)  # eps W: eps sets no pace
        optimiser = torch.optim.AdamW([scaled], lr=LEARNING_RATE, weight_decay=0.0)
        for step in range(STEPS):
            chosen = torch.randint(len(hidden), (ROWS,), generator=generator)
            calm = torch.randint(len(kept), (ROWS,), generator=generator)
            others = torch.randint(len(weight), (OTHERS,), generator=generator).to(device)
            tokens = torch.cat([likely, others[~torch.isin(others, likely)]])
            rows, shift = weight[tokens].float(), 0.0 if bias is None else bias[tokens].float()
            states = torch.cat([hidden[chosen], kept[calm]])
            wanted, moved = ((states + states @ scaled.T) @ rows.T + shift).split(ROWS)
            own = log_softmax(kept[calm] @ rows.T + shift, -1)
            still = kl_div(log_softmax(moved, -1), own, reduction="batchmean", log_target=True)
            optimiser.zero_grad()
            (cross_entropy(wanted, places[chosen]) + KEEP * still).backward()
            optimiser.step()
            if progress is not None:
                progress(step + 1, STEPS)
    steer = scaled.detach()
    if not bool(torch.isfinite(steer).all()):
        raise DataError("The training did not converge. Give other requests, or another strength.")
    sample = torch.randperm(len(hidden), generator=generator)[:SAMPLE]
    before, after = (
        float(cross_entropy(head(states.to(weight.dtype)).float(), targets[sample]))
        for states in (hidden[sample], hidden[sample] + hidden[sample] @ steer.T)
    )
    return (steer / settings.strength).float().cpu(), (before, after)


def likely_tokens(head: nn.Module, states: Tensor, targets: Tensor) -> Tensor:
    """Return, sorted, the numbers of all targets and of the 16 tokens that the head finds likeliest at each state (N, d)."""
    weight = _weight(head)
    with torch.no_grad():
        found = [head(rows.to(weight.dtype)).topk(min(TOP, len(weight)), -1).indices.flatten() for rows in states.split(SAMPLE)]
    tokens: Tensor = torch.cat([targets, *found]).unique()
    return tokens


def _weight(head: nn.Module) -> Tensor:
    weight: Any = head.weight
    found: Tensor = weight
    return found


def _probe(unsafe: Tensor, harmless: Tensor, paired: int, seed: int) -> tuple[Prober, float, tuple[float, float]]:
    """Train a prober without the requests set aside; return it, tau, and its AUROC and share of unsafe ones flagged there.

    Both sides of a pair are set aside together.
    """
    order = torch.randperm(len(harmless), generator=torch.Generator().manual_seed(seed))
    aside = torch.zeros(len(harmless), dtype=torch.bool)
    aside[order[: len(harmless) // SET_ASIDE]] = True
    if not bool(aside[:paired].any()):
        aside[0] = True
    prober = train_prober(unsafe[~aside[:paired]], harmless[~aside], seed)
    bad, good = prober.scores(unsafe[aside[:paired]]).double(), prober.scores(harmless[aside]).double()
    threshold = max(THRESHOLD, float(torch.quantile(good, 1 - FALSE_POSITIVES)))
    return prober, threshold, (auroc(bad, good), float((bad >= threshold).double().mean()))


def _shifted(progress: Progress | None, before: int, total: int) -> Progress | None:
    return None if progress is None else lambda done, _: progress(before + done, total)
