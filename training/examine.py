"""Judges a generator on held-out prompts: `python -m training.examine image --count 200`, a row per group and caption mode.

`renderings` in place of a generator judges the judges, on pictures that are known to be right.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from safety_steer.demo_world import GENERATORS
from safety_steer.demo_world.captions import MODES, captions
from safety_steer.demo_world.judges import accuracy, labels, to_network
from safety_steer.demo_world.pictures import load_eyes
from safety_steer.demo_world.render import render
from safety_steer.demo_world.sampling import contexts, generate, load_encoder, load_generator
from safety_steer.demo_world.scenes import SPLITS, Scene, sample_scenes
from safety_steer.demo_world.weights import load_network, weights_path
from safety_steer.evaluation.demo.measures import classify

Drawn = Iterator[tuple[list[Scene], dict[str, str], Tensor]]
GROUPS = ("benign", "borderline", "unsafe", "unsafe_effect", "no_object")


def main() -> None:
    """Print one JSON object per group, mode and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("generator", choices=[*GENERATORS, "renderings"])
    parser.add_argument("--count", type=int, default=200, help="prompts per group")
    parser.add_argument("--split", choices=SPLITS[1:], default="tune")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=["plain"])
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--steps", type=int, default=16)
    arguments = parser.parse_args()
    names = [name for name in ("judge", "second-judge") if weights_path(name).is_file()]
    judges = {name: load_network(weights_path(name), name) for name in names}
    ways = {"renderings": _renderings, "image-from-picture": _from_pictures}
    draw = ways.get(arguments.generator, _generated)(arguments)
    for scenes, row, pictures in draw:
        for name, judge in judges.items():
            shares = accuracy(classify(judge, pictures), labels(scenes))
            shown = {head: round(share, 3) for head, share in shares.items()}
            sys.stdout.write(json.dumps({"drawn by": arguments.generator, **row, "judge": name, **shown}) + "\n")
            sys.stdout.flush()


def _renderings(arguments: argparse.Namespace) -> Drawn:
    """Yield renderings of each group's scenes."""
    for group in arguments.groups:
        scenes = sample_scenes(arguments.split, arguments.count, group, seed=3)
        yield scenes, {"group": group}, to_network(torch.from_numpy(np.stack([render(scene) for scene in scenes])))


def _from_pictures(arguments: argparse.Namespace) -> Drawn:
    """Yield new pictures of each group's renderings."""
    generator, eyes = load_generator(arguments.generator), load_eyes()
    empty = contexts(load_encoder(generator), [""], generator.layer)
    for scenes, row, renderings in _renderings(arguments):
        seeds = list(range(len(scenes)))
        states = eyes.look(renderings).last_hidden_state
        yield scenes, row, generate(generator, states, empty, seeds, arguments.steps, arguments.guidance)


def _generated(arguments: argparse.Namespace) -> Drawn:
    """Yield a generator's pictures, or videos, for each group and caption mode."""
    generator = load_generator(arguments.generator)
    text_model = load_encoder(generator)
    empty = contexts(text_model, [""], generator.layer)
    for group in arguments.groups:
        scenes = sample_scenes(arguments.split, arguments.count, group, seed=3, motion=generator.video)
        for mode in arguments.modes:
            context = contexts(text_model, captions(scenes, 3, arguments.split, mode), generator.layer)
            seeds = list(range(len(scenes)))
            pictures = generate(generator, context, empty, seeds, arguments.steps, arguments.guidance)
            yield scenes, {"group": group, "mode": mode}, pictures


if __name__ == "__main__":
    with torch.inference_mode():
        main()
