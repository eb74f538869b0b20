"""Judges a generator on held-out prompts: `python demo/examine.py image --count 200`, a row per group and caption mode."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from safety_steer.demo.captions import MODES, captions
from safety_steer.demo.judges import accuracy, judged, labels
from safety_steer.demo.sampling import contexts, generate, load_encoder, load_generator
from safety_steer.demo.scenes import SPLITS, sample_scenes
from safety_steer.demo.weights import load_network, weights_path

GROUPS = ("benign", "borderline", "unsafe", "unsafe_effect", "no_object")


def main() -> None:
    """Print one JSON object per group, mode and judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("generator", choices=["image", "video", "image-smollm2"])
    parser.add_argument("--count", type=int, default=200, help="prompts per group")
    parser.add_argument("--split", choices=SPLITS[1:], default="tune")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=["plain"])
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--guidance", type=float, default=3.0)
    parser.add_argument("--steps", type=int, default=16)
    arguments = parser.parse_args()
    generator = load_generator(arguments.generator)
    text_model = load_encoder(generator)
    empty = contexts(text_model, [""], generator.layer)
    names = [name for name in ("judge", "second-judge") if weights_path(name).is_file()]
    judges = {name: load_network(weights_path(name), name) for name in names}
    for group in arguments.groups:
        scenes = sample_scenes(arguments.split, arguments.count, group, seed=3, motion=generator.video)
        for mode in arguments.modes:
            texts = captions(scenes, 3, arguments.split, mode)
            context = contexts(text_model, texts, generator.layer)
            seeds = list(range(len(scenes)))
            pictures = generate(generator, context, empty, seeds, arguments.steps, arguments.guidance)
            frame = pictures[:, pictures.shape[1] // 2] if generator.video else pictures
            for name, judge in judges.items():
                shares = accuracy(judged(judge, frame), labels(scenes))
                row = {"generator": arguments.generator, "group": group, "mode": mode, "judge": name}
                sys.stdout.write(json.dumps(row | {head: round(share, 3) for head, share in shares.items()}) + "\n")
                sys.stdout.flush()


if __name__ == "__main__":
    with torch.inference_mode():
        main()
