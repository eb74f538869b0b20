"""`safety-steer demo`: the bundled direction carried to a real text encoder, against its controls, and to pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ..alignment.anchors import encode_anchors
from ..directions.source import SafetyDirection
from ..evaluation.transfer import SPACE, Row, TargetData, align_to, as_table, compare, native_direction, prompt_scores
from ..extraction.text_model import load_text_model, token_states
from ..storage.bundled import DEMO_SOURCE, SOURCE, STAND_INS, bundled, packaged_model
from ..storage.prompt_files import Pair, read_pairs, read_prompts
from .console import Result, add_model_options, progress_line, table

TARGET = "all-MiniLM-L6-v2"
UNSEEN = 256  # by hand; anchors kept out of the fit


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's options."""
    parser.add_argument("--pairs", help="pairs to measure on (default: harmless stand-ins that come with the project)")
    parser.add_argument("--benign", help="unseen benign prompts (default: bundled anchors kept out of the fit)")
    parser.add_argument("--output", default="demo_output", help="folder for the plots")
    add_model_options(parser)


def run(options: argparse.Namespace) -> Result:
    """Encode, align by every map, steer, measure, draw."""
    direction = SafetyDirection.load(bundled(SOURCE))
    # Rounded on processors that can, the figures would differ from one to another.
    encoder = replace(load_text_model(packaged_model(TARGET), options.device, options.dtype), any_precision=False)
    pairs = read_pairs(options.pairs or bundled(STAND_INS))
    if options.benign:
        unseen = [prompt for prompt in read_prompts(options.benign) if prompt not in set(direction.anchors)]
    else:
        unseen = list(direction.anchors[-UNSEEN:])
        direction = without_last_anchors(direction, UNSEEN)
    layer = encoder.last_layer
    train, test = split_by_contrast(pairs)
    anchors = encode_anchors(encoder, direction.anchors, layer, progress_line("encoding anchors", options))[SPACE]
    passages = encode_anchors(encoder, direction.passages, layer)[SPACE] if direction.passages else None
    own = encode_anchors(encoder, [pair.safe for pair in train] + [pair.unsafe for pair in train], layer)[SPACE].pooled
    native = native_direction(anchors, train, own[: len(train)], own[len(train) :], direction.anchors)
    data = TargetData(
        anchors=anchors,
        safe=token_states(encoder, [pair.safe for pair in test], layer),
        unsafe=token_states(encoder, [pair.unsafe for pair in test], layer),
        benign=token_states(encoder, unseen, layer, progress=progress_line("encoding unseen prompts", options)),
        passages=passages,
    )
    rows = compare(direction, native, data)
    folder = Path(options.output)
    header, cells = as_table(rows)
    pictures = [*draw(direction, data, rows, folder), draw_pictures(folder, options)]
    text = "\n".join(
        [
            f"{direction.source.name} -> {TARGET}: {len(test)} pairs, {len(unseen):,} unseen benign prompts",
            table(header, cells),
            "",
            "AUROC: safe against unsafe by the direction's reading; 'of native': against the native mean difference (plain).",
            "unsafe/benign: share of prompts that steering changed; moved: how far those came toward safe (1 = there).",
            *(f"wrote {picture}" for picture in pictures),
        ]
    )
    return Result({"rows": [asdict(row) for row in rows], "plots": [str(picture) for picture in pictures]}, text)


def draw_pictures(folder: Path, options: argparse.Namespace) -> Path:
    """Draw unsafe and benign prompts with the demo's image generator, before and after steering: the path of the sheet."""
    from ..evaluation.demo.methods import DEFAULT, NONE, STANDARD
    from ..evaluation.demo.run import method_inputs
    from ..evaluation.demo.session import DemoSession
    from ..evaluation.demo.sheet import draw_sheet

    session = DemoSession.open("image")
    inputs = method_inputs(
        session, SafetyDirection.load(bundled(DEMO_SOURCE)), None, progress_line("encoding anchors", options)
    )
    path = folder / "before_after.png"
    draw_sheet(session, inputs, [NONE, DEFAULT, STANDARD], "tune", path)
    return path


def without_last_anchors(direction: SafetyDirection, count: int) -> SafetyDirection:
    """Take the last anchors out of a direction, so that they are unseen benign prompts."""
    examples = direction.examples and replace(direction.examples, hard=direction.examples.hard[:-count])
    activations = direction.anchor_activations[:-count]
    return replace(direction, anchors=direction.anchors[:-count], anchor_activations=activations, examples=examples)


def split_by_contrast(pairs: Sequence[Pair]) -> tuple[list[Pair], list[Pair]]:
    """Split pairs into the first and second half of each category: neighbours, which may be variants, stay together."""
    train, test = [], []
    for category in sorted({pair.category for pair in pairs}):
        rows = [pair for pair in pairs if pair.category == category]
        train += rows[: len(rows) // 2]
        test += rows[len(rows) // 2 :]
    return train, test


def draw(direction: SafetyDirection, data: TargetData, rows: Sequence[Row], folder: Path) -> list[Path]:
    """Draw the three plots into a folder and return their paths."""
    from ..evaluation.plots import draw_gate, draw_layers, draw_separation

    paths = [folder / name for name in ("separation.png", "gate.png", "layers.png")]
    draw_separation(rows, paths[0])
    draw_gate(prompt_scores(align_to(direction, data), data), paths[1])
    draw_layers(direction.report["layer_curve"], direction.layers, paths[2])
    return paths
