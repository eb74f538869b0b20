"""`safety-steer align`: a direction and a text encoder, to an aligned direction file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from ..alignment.align_direction import THRESHOLDS, AlignSettings, align
from ..alignment.anchors import choose_anchors, choose_passages, encode_anchors, with_anchors
from ..alignment.maps import MAPS
from ..directions.source import SafetyDirection
from ..errors import DataError
from ..extraction.text_model import TextModel, load_text_model
from ..storage.container import check_target
from ..storage.prompt_files import read_prompts
from .console import Result, add_model_options, progress_line, table

LAYER = "layer"
"""The setting of an aligned direction that says which layer of its encoder it belongs to."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("direction", help="a direction made by extract (.safetensors)")
    parser.add_argument("--encoder", required=True, help="target encoder: a Hugging Face folder or a .gguf file")
    parser.add_argument("--layer", default="auto", help="auto (last; 3/5 of the depth in causal models), last or N")
    parser.add_argument("--map", default="ridge", choices=tuple(MAPS), help="how source states become target states")
    parser.add_argument("--anchors", help="your own benign prompts, one a line (needs --source)")
    parser.add_argument("--source", help="the model the direction was made with, to encode your own prompts")
    parser.add_argument("--benign", help="what is normal for you: benign prompts, one a line, that count for the thresholds")
    parser.add_argument("--thresholds", default="all", choices=THRESHOLDS, help="all benign prompts, or your own --benign only")
    parser.add_argument("--max-anchors", type=int, default=4096, help="use at most this many anchors (64 or more)")
    parser.add_argument("-o", "--output", required=True, help="aligned direction file to write (.safetensors)")
    add_model_options(parser)


def run(options: argparse.Namespace) -> Result:
    """Encode the anchors, fit, save and report."""
    check_target(options.output)
    direction = SafetyDirection.load(options.direction)
    if (options.anchors is None) != (options.source is None):
        raise DataError("Your own --anchors need the --source model the direction was made with: give both or neither.")
    if options.anchors is not None:
        prompts = read_prompts(options.anchors)
        source = load_text_model(options.source, options.device, options.dtype)
        direction = with_anchors(direction, source, prompts, progress_line("encoding with the source", options))
    rows = choose_anchors(direction, options.max_anchors)
    encoder = load_text_model(options.encoder, options.device, options.dtype)
    layer = target_layer(encoder, options.layer)
    states = encode_anchors(
        encoder, [direction.anchors[row] for row in rows], layer, progress_line("encoding anchors", options)
    )
    passages = choose_passages(direction, options.max_anchors, options.thresholds)
    long = encode_anchors(encoder, passages, layer, progress_line("encoding passages", options)) if passages else None
    own = encode_anchors(encoder, read_prompts(options.benign), layer) if options.benign else None
    settings = AlignSettings(map=options.map, thresholds=options.thresholds)
    name = f"{encoder.identity.name}, layer {layer}"
    aligned = align(direction, states, name, settings, anchors=rows, extra_benign=own, passages=long)
    aligned = replace(aligned, settings={**aligned.settings, LAYER: layer})
    aligned.save(options.output)
    report = aligned.report["cross_attn"]
    rows_shown = [[name, report[name], report[f"shuffled_{name}"]] for name in ("r2", "cosine", "retrieval")]
    text = table(["held-out anchors", "this map", "shuffled"], rows_shown)
    return Result(
        {
            "output": options.output,
            "hash": aligned.content_hash,
            "layer": layer,
            "anchors": len(rows),
            "report": dict(report),
        },
        f"{text}\n\n{Path(options.direction).name} -> {aligned.encoder} ({len(rows):,} anchors) -> {options.output}",
    )


def target_layer(encoder: TextModel, layer: str) -> int:
    """Return the layer number for "auto", "last" or a number; raises DataError for anything else.

    A text encoder conditions with its last state. In causal models "auto" takes the state three fifths up, where
    meaning is most readable; give the number when the generator uses another one.
    """
    last = encoder.last_layer
    if layer == "auto":
        return round(last * 0.6) if encoder.causal else last
    if layer == "last":
        return last
    if not layer.isdecimal() or int(layer) > last:
        raise DataError(f"Expected layer auto, last or 0 to {last}, but got '{layer}'.")
    return int(layer)
