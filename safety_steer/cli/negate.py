"""`safety-steer negate`: which weights of a model answer to unsafe inputs, to a patch file."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..errors import DataError
from ..extraction.image_text_model import load_image_text_model
from ..extraction.text_model import load_text_model
from ..negation import TAU
from ..negation.layers import ATTENTION, FEED_FORWARD, KINDS
from ..negation.models import MAX_PAIRS, check_pairs, negate_pictures, negate_text_model, spread_out
from ..negation.patch import WeightPatch
from ..storage.container import check_target
from ..storage.picture_tuples import read_picture, read_tuples
from ..storage.prompt_files import read_pairs
from .console import Result, add_model_options, progress_line, table

SCORES = ("weighted", "plain")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("model", help="a Hugging Face folder or a .gguf file; CLIP's folder for pictures")
    parser.add_argument("pairs", help="JSON lines or CSV with safe, unsafe and category; or a folder of captioned pictures")
    parser.add_argument(
        "--layers",
        help=f"{', '.join(KINDS)}, or a pattern of layer names; by default {ATTENTION} for text, {FEED_FORWARD} for pictures",
    )
    parser.add_argument("--tau", type=float, default=TAU, help=f"share of each layer's score that is negated (default {TAU})")
    parser.add_argument(
        "--scores",
        choices=SCORES,
        help="weighted: times the weight's size, the default for text; plain: the default for pictures",
    )
    parser.add_argument("--max-pairs", type=int, default=MAX_PAIRS, help=f"read so many pairs at most (default {MAX_PAIRS})")
    parser.add_argument("-o", "--output", required=True, help="patch file to write (.safetensors)")
    add_model_options(parser)


def run(options: argparse.Namespace) -> Result:
    """Choose, save and list the weights of each layer."""
    check_target(options.output)
    if not 0 < options.tau < 1:
        raise DataError(f"Expected --tau between 0 and 1, but got {options.tau}. 0.02 is the usual value.")
    patch = _of_pictures(options) if Path(options.pairs).is_dir() else _of_prompts(options)
    patch.save(options.output)
    rows = [
        [name, len(layer.places), f"{len(layer.places) / (layer.shape[0] * layer.shape[1]):.3%}"]
        for name, layer in patch.layers.items()
    ]
    text = table(["layer", "negated", "share"], rows)
    size = Path(options.output).stat().st_size
    return Result(
        {
            "output": options.output,
            "hash": patch.content_hash,
            "pairs": patch.pairs,
            "negated": patch.count,
            "share": patch.share,
            "bytes": size,
            "layers": {name: len(layer.places) for name, layer in patch.layers.items()},
        },
        f"{text}\n\n{patch.count:,} weights ({patch.share:.2%}), chosen with {patch.pairs} pairs -> {options.output}",
    )


def _of_prompts(options: argparse.Namespace) -> WeightPatch:
    pairs = spread_out(read_pairs(options.pairs), options.max_pairs)
    check_pairs(len(pairs))
    model = load_text_model(options.model, options.device, options.dtype)
    progress = progress_line("reading pairs", options)
    return negate_text_model(model, pairs, options.layers or ATTENTION, options.tau, options.scores != "plain", progress)


def _of_pictures(options: argparse.Namespace) -> WeightPatch:
    found = spread_out(read_tuples(options.pairs), options.max_pairs)
    check_pairs(len(found))
    pairs = [(read_picture(one.safe_picture), read_picture(one.unsafe_picture)) for one in found]
    model = load_image_text_model(options.model, options.device)
    progress = progress_line("reading pictures", options)
    return negate_pictures(model, pairs, options.layers or FEED_FORWARD, options.tau, options.scores == "weighted", progress)
