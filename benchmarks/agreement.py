"""Do captions and pictures share a space? What the way through text of Align Direction (Vision) asks, on the demo.

python -m benchmarks.agreement [--pictures 1024] [--turns 5] [-o results/agreement.json]

Of drawn harmless scenes and their captions: how many other pictures a caption fits less than its own, wherever the text
model and the demo's CLIP vision are equally wide, and the same once one of the two is turned by a random rotation.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from safety_steer.alignment.anchors import collect
from safety_steer.alignment.through_text import agreement, agreements
from safety_steer.demo_world.drawn_pictures import drawn_scenes
from safety_steer.evaluation.demo.pictures import collected
from safety_steer.evaluation.demo.session import DemoSession


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1024)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("-o", "--output", type=Path, default=Path("results/agreement.json"))
    args = parser.parse_args()
    session = DemoSession.open("image-from-picture")
    scenes, captions = drawn_scenes(args.pictures)
    said = collect([{"cross_attn": session.states(captions)}], len(captions))
    pictures = collected(session.seen(scenes))
    found = agreements(said, pictures)
    generator = torch.Generator().manual_seed(0)
    turned = {}
    for name, one in found.items():
        here, there = said[one.text].pooled, pictures[name].pooled
        turns = [torch.linalg.qr(torch.randn(here.shape[1], here.shape[1], generator=generator)).Q for _ in range(args.turns)]
        turned[name] = [round(agreement(here, there @ turn), 4) for turn in turns]
    report = {
        "pictures": args.pictures,
        "widths": {name: states.pooled.shape[1] for name, states in pictures.items()},
        "agreement": {name: [one.text, round(one.agreement, 4)] for name, one in found.items()},
        "turned": turned,
    }
    args.output.write_text(json.dumps(report, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
