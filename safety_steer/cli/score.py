"""`safety-steer score`: how well a direction separates safe from unsafe prompts, in its own space or an aligned one."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

import torch
from torch import Tensor

from ..alignment.anchors import PROBE_COUNT, check_source, encode_anchors, source_activations
from ..directions.aligned import AlignedDirection
from ..directions.pooling import pool
from ..directions.source import SafetyDirection
from ..errors import DataError
from ..extraction.text_model import TextModel, load_text_model, token_states
from ..statistics import PairScore, score_pairs
from ..steering.gate import FALSE_POSITIVE_RATE, gate_threshold, open_gate
from ..storage.prompt_files import Pair, read_pairs
from .align import LAYER, target_layer
from .console import Result, add_model_options, progress_line, table
from .inspect import load_any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("file", help="a direction (scored in its source model) or an aligned direction (in its encoder)")
    parser.add_argument("--encoder", required=True, help="that model: a Hugging Face folder or a .gguf file")
    parser.add_argument("--pairs", required=True, help="JSON lines or CSV with safe, unsafe and category")
    add_model_options(parser)


def run(options: argparse.Namespace) -> Result:
    """Encode both sides of the pairs and score them."""
    pairs = read_pairs(options.pairs)
    direction = load_any(options.file)
    model = load_text_model(options.encoder, options.device, options.dtype)
    texts = [pair.safe for pair in pairs] + [pair.unsafe for pair in pairs]
    progress = progress_line("encoding pairs", options)
    if isinstance(direction, SafetyDirection):
        check_source(direction, model)
        activations = source_activations(direction, model, texts, progress)
        result = score_source(direction, activations, pairs)
    else:
        layer = stored_layer(direction, model)
        probes = encode_anchors(model, direction.probe_prompts, layer)["cross_attn"].pooled[:PROBE_COUNT]
        direction.check_encoder("cross_attn", probes)
        result = score_aligned(direction, token_states(model, texts, layer, progress=progress), pairs)
    data = result.document()
    rows = [["direction", result.auroc], ["pair accuracy", result.pair_accuracy]]
    rows += [[f"  {name}", value] for name, value in result.per_category.items()]
    rows += [["gate", result.gate.auroc], ["  unsafe flagged", result.gate.tpr], ["  safe flagged", result.gate.fpr]]
    return Result(data, table([f"{result.pairs:,} pairs", "AUROC"], rows))


def score_source(direction: SafetyDirection, activations: Tensor, pairs: Sequence[Pair]) -> PairScore:
    """Score raw source activations (2N, d), safe sides first; the gate is the global probe."""
    benign = direction.anchor_activations.double() @ direction.probe_weights[0].double() + direction.probe_biases[0]
    threshold = float(torch.quantile(benign, 1 - FALSE_POSITIVE_RATE))
    return _score(direction.score(activations), direction.probe(activations)[:, 0], pairs, direction.categories, threshold)


def score_aligned(direction: AlignedDirection, states: Sequence[Tensor], pairs: Sequence[Pair]) -> PairScore:
    """Score target states (T_i, D) of 2N prompts, safe sides first, in the first text space."""
    space = next(iter(direction.spaces.values()))
    readings = torch.cat([space.safe_score(pool(rows[None])) for rows in states])
    gate = torch.cat([open_gate(rows[None], space).scores for rows in states])
    return _score(readings, gate, pairs, direction.categories, gate_threshold(space))


def stored_layer(direction: AlignedDirection, model: TextModel) -> int:
    """Return the layer an aligned direction belongs to; raises DataError for one that `safety-steer align` has not made.

    Files without that setting, made before there was one, say it in the name of their encoder alone.
    """
    layer = str(direction.settings.get(LAYER, direction.encoder.rpartition("layer ")[2]))
    if "cross_attn" not in direction.spaces or not layer.isdecimal():
        raise DataError(
            f"'{direction.encoder}' was aligned inside ComfyUI; `score` needs a direction aligned by `safety-steer align`."
        )
    return target_layer(model, layer)


def _score(readings: Tensor, gate: Tensor, pairs: Sequence[Pair], categories: tuple[str, ...], threshold: float) -> PairScore:
    safe, unsafe = readings.chunk(2)
    gate_safe, gate_unsafe = gate.chunk(2)
    names = [pair.category for pair in pairs]
    return score_pairs(safe, unsafe, categories, names, gate_safe, gate_unsafe, threshold)
