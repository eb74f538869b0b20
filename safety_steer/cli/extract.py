"""`safety-steer extract`: pairs and anchors through a source model, to a direction file."""

from __future__ import annotations

import argparse

from ..extraction.estimators import ESTIMATORS
from ..extraction.extract_direction import check_settings, extract
from ..extraction.text_model import POOLINGS
from ..storage.container import check_target
from ..storage.prompt_files import read_pairs, read_prompts
from .console import Result, add_crew_options, add_model_options, models_of, progress_line, table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--source", required=True, help="source model: a Hugging Face folder or a .gguf file")
    parser.add_argument("--pairs", required=True, help="JSON lines or CSV with safe, unsafe and category")
    parser.add_argument("--anchors", required=True, help="benign prompts, one a line; they travel in the file")
    parser.add_argument("--layer", default="auto", help="auto (the most safety-aware layer and two below), N, or N,N")
    parser.add_argument("--pooling", default="mean", choices=POOLINGS, help="how a prompt's tokens become one vector")
    parser.add_argument("--estimator", default="mean", choices=tuple(ESTIMATORS), help="how pairs become a direction")
    parser.add_argument("-o", "--output", required=True, help="direction file to write (.safetensors)")
    add_model_options(parser)
    add_crew_options(parser)


def run(options: argparse.Namespace) -> Result:
    """Extract, save and report the layer curve."""
    check_target(options.output)
    pairs, anchors = read_pairs(options.pairs), read_prompts(options.anchors)
    check_settings(pairs, anchors, options.estimator)
    told = progress_line("encoding", options)
    with models_of(options) as open_model:
        model = open_model(options.source)
        direction = extract(model, pairs, anchors, options.layer, options.pooling, options.estimator, told)
    direction.save(options.output)
    curve = direction.report["layer_curve"]
    rows = [[*row, "<- chosen" if row[0] in direction.layers else ""] for row in curve]
    text = table(["layer", "awareness", "separation", ""], rows)
    return Result(
        {
            "output": options.output,
            "hash": direction.content_hash,
            "layers": list(direction.layers),
            "categories": list(direction.categories),
            "layer_curve": curve,
        },
        f"{text}\n\n{len(pairs):,} pairs and {len(anchors):,} anchors -> {options.output}",
    )
