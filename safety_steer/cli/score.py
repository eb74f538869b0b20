"""`safety-steer score`: how well a direction separates safe from unsafe prompts, in its own space or an aligned one."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from ..alignment.anchors import PROBE_COUNT, check_source, encode_anchors, source_activations
from ..directions.aligned import AlignedDirection
from ..directions.pooling import pool
from ..directions.source import SafetyDirection
from ..errors import DataError
from ..extraction.text_model import Progress, TextModel, token_states
from ..statistics import PairScore, score_pairs
from ..steering.gate import FALSE_POSITIVE_RATE, gate_threshold, open_gate
from ..storage.pair_stream import stream_pairs, windows
from .align import LAYER, target_layer
from .console import Result, add_crew_options, add_model_options, open_model, progress_line, table
from .inspect import load_any

WINDOW = 4096  # by hand; pairs that are read, encoded and forgotten together
HELP = "Measure a direction on pairs it has not seen."


@dataclass(frozen=True, eq=False)
class Readings:
    """What a direction reads in N prompts: (N, K), + is safer, column 0 global; the gate's scores (N,) and its threshold."""

    readings: Tensor
    gate: Tensor
    threshold: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("file", help="a direction (scored in its source model) or an aligned direction (in its encoder)")
    parser.add_argument("--encoder", required=True, help="that model: a Hugging Face folder or a .gguf file")
    parser.add_argument("--pairs", required=True, help="JSON lines, CSV or Parquet with safe, unsafe and category")
    add_model_options(parser)
    add_crew_options(parser)


def run(options: argparse.Namespace) -> Result:
    """Encode both sides of the pairs and score them."""
    pairs = windows(stream_pairs(options.pairs), WINDOW)
    first = next(pairs)
    direction = load_any(options.file)
    model = open_model(options.encoder, options)
    read = _reader_of(direction, model)
    categories: list[str] = []
    parts = []
    for window in chain([first], pairs):
        texts = [pair.safe for pair in window] + [pair.unsafe for pair in window]
        parts.append(read(texts, progress_line("encoding pairs", options)))
        categories += [sys.intern(pair.category) for pair in window]
    result = _score(parts, categories, direction.categories)
    data = result.document()
    rows = [["direction", result.auroc], ["pair accuracy", result.pair_accuracy]]
    rows += [[f"  {name}", value] for name, value in result.per_category.items()]
    rows += [["gate", result.gate.auroc], ["  unsafe flagged", result.gate.tpr], ["  safe flagged", result.gate.fpr]]
    return Result(data, table([f"{result.pairs:,} pairs", "AUROC"], rows))


def _reader_of(
    direction: SafetyDirection | AlignedDirection, model: TextModel
) -> Callable[[list[str], Progress | None], Readings]:
    """Return what reads prompts with a direction; raises MismatchError for a model that is not the direction's own."""
    if isinstance(direction, SafetyDirection):
        check_source(direction, model)
        return lambda texts, progress: read_source(direction, source_activations(direction, model, texts, progress))
    layer = stored_layer(direction, model)
    probes = encode_anchors(model, direction.probe_prompts, layer)["cross_attn"].pooled[:PROBE_COUNT]
    direction.check_encoder("cross_attn", probes)
    return lambda texts, progress: read_aligned(direction, token_states(model, texts, layer, progress=progress))


def read_source(direction: SafetyDirection, activations: Tensor) -> Readings:
    """Read raw source activations (N, d); the gate is the global probe."""
    benign = direction.anchor_activations.double() @ direction.probe_weights[0].double() + direction.probe_biases[0]
    threshold = float(torch.quantile(benign, 1 - FALSE_POSITIVE_RATE))
    return Readings(direction.score(activations), direction.probe(activations)[:, 0], threshold)


def read_aligned(direction: AlignedDirection, states: Sequence[Tensor]) -> Readings:
    """Read target states (T_i, D) of prompts, in the first text space."""
    space = next(iter(direction.spaces.values()))
    readings = torch.cat([space.safe_score(pool(rows[None])) for rows in states])
    gate = torch.cat([open_gate(rows[None], space).scores for rows in states])
    return Readings(readings, gate, gate_threshold(space))


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


def _score(parts: Sequence[Readings], pair_categories: Sequence[str], categories: Sequence[str]) -> PairScore:
    """Score windows of pairs, each with its safe sides first."""
    readings = [part.readings.chunk(2) for part in parts]
    gates = [part.gate.chunk(2) for part in parts]
    safe, unsafe = (torch.cat([halves[side] for halves in readings]) for side in (0, 1))
    gate_safe, gate_unsafe = (torch.cat([halves[side] for halves in gates]) for side in (0, 1))
    return score_pairs(safe, unsafe, categories, pair_categories, gate_safe, gate_unsafe, parts[0].threshold)
