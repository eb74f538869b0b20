"""Draw the README's example of a safety report, in both themes: what steering does to one prompt of the demo's text model.

python -m tools.docs.draw_report [--prompt PROMPT] [--output docs/images]

Uses the bundled SmolLM2-135M-Instruct direction, aligned to all-MiniLM-L6-v2 on all of its anchors (ridge), and the settings a
node starts with. Nothing in it is random: the same versions give the same picture.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from safety_steer.alignment.align_direction import AlignSettings, align
from safety_steer.alignment.anchors import choose_anchors, choose_passages, encode_anchors
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.source import SafetyDirection
from safety_steer.extraction.text_model import TextModel, load_text_model, states_of_ids, token_ids
from safety_steer.reports.canvas import THEMES
from safety_steer.reports.picture import draw_reports
from safety_steer.reports.safety_report import SafetyReport, measure, record, with_words
from safety_steer.reports.text import as_text, sentence
from safety_steer.reports.token_words import join_pieces
from safety_steer.steering.steer_conditioning import SteerSettings, steer_conditioning
from safety_steer.storage.bundled import SOURCE, bundled, packaged_model

ENCODER = "all-MiniLM-L6-v2"
ANCHORS = 3072
PROMPT = "A cat holding a bloody murder knife in the forest."
HOW = "erase at strength 1, gate hard, steps 0% to 100%"


def aligned_to(model: TextModel) -> AlignedDirection:
    """Align the bundled direction to the last layer of a text model."""
    direction = SafetyDirection.load(bundled(SOURCE))
    rows = choose_anchors(direction, ANCHORS)
    states = encode_anchors(model, [direction.anchors[row] for row in rows], model.last_layer)
    passages = encode_anchors(model, choose_passages(direction, ANCHORS), model.last_layer)
    return align(direction, states, ENCODER, AlignSettings(), anchors=rows, passages=passages)


def report_on(prompt: str, model: TextModel, aligned: AlignedDirection) -> SafetyReport:
    """Steer one prompt and report on it, with its words."""
    [ids] = token_ids(model, [prompt])
    states = torch.stack(states_of_ids(model, [ids], model.last_layer))
    [space] = aligned.spaces
    outcome = steer_conditioning({space: states}, aligned, SteerSettings())
    [report] = measure(record(outcome), aligned)
    return with_words(report, {space: join_pieces(model.tokenizer.convert_ids_to_tokens(ids))})


def main() -> None:
    """Draw the picture in every theme and print the same in words."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--output", type=Path, default=Path("docs/images"))
    options = parser.parse_args()
    model = load_text_model(packaged_model(ENCODER), device="cpu", dtype="float32")
    report = report_on(options.prompt, model, aligned_to(model))
    options.output.mkdir(parents=True, exist_ok=True)
    for theme in THEMES:
        path = options.output / f"report-{theme}.png"
        draw_reports([report], theme, HOW).save(path, optimize=True)
        print(path)
    print(as_text(report, sentence(report)))


if __name__ == "__main__":
    main()
