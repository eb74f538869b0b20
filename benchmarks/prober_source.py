"""AutoSteer's prober (arXiv 2507.13255), trained in the source model: on what a direction holds, or on every training pair."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from safety_steer.alignment.harm_fit import DRAWS, SCATTER
from safety_steer.directions.prober import Prober, train_prober
from safety_steer.directions.source import SafetyDirection
from safety_steer.extraction.text_model import TextModel, load_text_model, token_states
from safety_steer.statistics import mean_pairwise_cosine

from .transfer import ROOT, located
from .transfer_table.measures import auroc_interval
from .transfer_table.prompts import TITLES, Prompts, texts_of
from .transfer_table.states import batch_tokens

SOURCE = "smollm2"
DIRECTION = ROOT / "directions" / "smollm2-135m-instruct-2026-11.safetensors"
READ = ("mean", "last")
KEPT, SCATTERED = "prober, the direction's states", "prober, the direction's states, scattered"
# Which state of the source is read, and whether harmless prompts are safe examples beside the pairs' safe sides.
FROM_PAIRS = {
    "prober, last token, pairs": ("last", False),
    "prober, mean state, pairs": ("mean", False),
    "prober, mean state, pairs and harmless prompts": ("mean", True),
}
TOGETHER = 512
Json = dict[str, Any]
States = dict[str, Tensor]


def source_states(model: TextModel, layer: int, texts: Sequence[str], kept: Path | None) -> States:
    """Return the mean and the last state of prompts at a layer, (N, d) each; read from `kept` where a run has left them."""
    if kept is not None and kept.is_file():
        return load_file(kept)
    parts: dict[str, list[Tensor]] = {name: [] for name in READ}
    for start in range(0, len(texts), TOGETHER):
        states = token_states(model, texts[start : start + TOGETHER], layer, batch_tokens(model))
        parts["mean"].append(torch.stack([rows.mean(0) for rows in states]))
        parts["last"].append(torch.stack([rows[-1] for rows in states]))
    found = {name: torch.cat(rows) for name, rows in parts.items()}
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        save_file(found, kept)
    return found


class Source:
    """Probers trained in the source model, and by prober the anchors' states in the space that it reads."""

    def __init__(self, options: argparse.Namespace, prompts: Prompts, direction: SafetyDirection) -> None:
        """Train every prober; only --read-source runs the source model."""
        curve = direction.report["layer_curve"]
        self.layer = int(max(curve, key=lambda row: row[1])[0])
        self.probers: dict[str, Prober] = {}
        self.anchors: dict[str, Tensor] = {}
        self.about: Json = {"layer": self.layer, "awareness": {"mean": max(row[1] for row in curve)}}
        self._from_direction(direction, options.seed)
        if options.read_source:
            self._from_pairs(options, prompts, direction)

    def _from_direction(self, direction: SafetyDirection, seed: int) -> None:
        """Train on the direction's own states at the layer, as they are and scattered as prompts of their class scatter."""
        assert direction.examples is not None
        place = direction.layers.index(self.layer) * direction.source.width
        columns = slice(place, place + direction.source.width)
        unsafe, harmless = direction.examples.unsafe.float(), direction.anchor_activations.float()
        spread, generator = direction.spread.float(), torch.Generator().manual_seed(seed)
        draws = [torch.randn(len(unsafe), len(spread), generator=generator) @ spread for _ in range(DRAWS)]
        scattered = torch.cat([unsafe + SCATTER * drawn for drawn in draws])
        for method, rows in ((KEPT, unsafe), (SCATTERED, scattered)):
            self.anchors[method] = harmless[:, columns]
            self.probers[method] = train_prober(rows[:, columns], harmless[:, columns], seed)

    def _from_pairs(self, options: argparse.Namespace, prompts: Prompts, direction: SafetyDirection) -> None:
        """Read all training pairs, harmless prompts and test pairs in the source model, and train on the former."""
        tests = [pair for pairs in prompts.pairs.values() for pair in pairs]
        parts = {
            "pairs": texts_of(prompts.train),
            "anchors": list(direction.anchors),
            "passages": list(direction.passages),
            "tests": texts_of(tests),
        }
        kept = options.states and options.states / f"{SOURCE}-{self.layer}-{prompts.digest()}.safetensors"
        model = load_text_model(located(options.models / SOURCE), options.device, options.dtype)
        states = source_states(model, self.layer, [text for part in parts.values() for text in part], kept)
        sizes = [len(part) for part in parts.values()]
        cut = {name: dict(zip(parts, rows.split(sizes), strict=True)) for name, rows in states.items()}
        for method, (name, also) in FROM_PAIRS.items():
            found = cut[name]
            safe, unsafe = found["pairs"].chunk(2)
            self.about["awareness"][f"{name}, read anew"] = mean_pairwise_cosine(safe - unsafe)
            harmless = torch.cat([safe, found["anchors"], found["passages"]]) if also else safe
            self.anchors[method] = found["anchors"]
            self.probers[method] = train_prober(unsafe, harmless, options.seed)
            safe, unsafe = self.probers[method].log_odds(found["tests"]).double().chunk(2)
            self.about.setdefault("at_home", {})[method] = told_apart(safe, unsafe, prompts)


def told_apart(safe: Tensor, unsafe: Tensor, prompts: Prompts) -> Json:
    """Measure by set how well scores of the test pairs' sides, one after the other, tell them apart in the source itself."""
    sizes = [len(pairs) for pairs in prompts.pairs.values()]
    sides = zip(prompts.pairs, unsafe.split(sizes), safe.split(sizes), strict=True)
    return {TITLES[key]: auroc_interval(theirs, own) for key, theirs, own in sides}
