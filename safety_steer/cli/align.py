"""`safety-steer align`: a direction and a text encoder, to an aligned direction file."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

from ..alignment.align_direction import THRESHOLDS, AlignSettings, align
from ..alignment.anchors import choose_anchors, choose_passages, encode_anchors, with_anchors
from ..alignment.maps import MAPS
from ..alignment.target_layer import LAYER, target_layer
from ..directions.source import SafetyDirection
from ..errors import DataError
from ..storage.container import check_target
from ..storage.prompt_files import read_prompts
from .console import Result, add_crew_options, add_model_options, models_of, progress_line, table


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
    add_crew_options(parser)


def run(options: argparse.Namespace) -> Result:
    """Encode the anchors, fit, save and report."""
    check_target(options.output)
    direction = SafetyDirection.load(options.direction)
    if (options.anchors is None) != (options.source is None):
        raise DataError("Your own --anchors need the --source model the direction was made with: give both or neither.")
    with models_of(options) as open_model:
        if options.anchors is not None:
            prompts = read_prompts(options.anchors)
            source = open_model(options.source)
            direction = with_anchors(direction, source, prompts, progress_line("encoding with the source", options))
        rows = choose_anchors(direction, options.max_anchors)
        encoder = open_model(options.encoder)
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
