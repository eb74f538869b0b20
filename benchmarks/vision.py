"""What a direction carried to CLIP vision hears of pictures: on the demo's picture tower, against native and controls.

python -m benchmarks.vision [--split tune|final] [--pictures 512] [--direct] [--seed 0] [--workers 1] [-o FILE]

Harmless drawn scenes of the `train` split and their captions are what every method is fitted with; unsafe pictures are seen by
the native references alone, of `train` too. Choices are made on `tune`; `final` is what is reported. The direction is
SmolLM2's; the captions come to its source through all-MiniLM-L6-v2 (`reverse`) or, with --direct, are read by SmolLM2 too.
`adapter` is Text-Guided Alignment's (arXiv 2410.12662): a small residual network with its losses beside the linear map.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from safety_steer.alignment import maps
from safety_steer.alignment.align_direction import AlignSettings
from safety_steer.alignment.anchors import AnchorStates, collect, encode_anchors, source_activations
from safety_steer.alignment.vision import align_pictures, captions_in_source
from safety_steer.demo_world.drawn_pictures import draw, drawn_scenes
from safety_steer.demo_world.judges import ImageTextEmbedding, to_network
from safety_steer.demo_world.scenes import Scene, sample_scenes
from safety_steer.demo_world.weights import load_network, weights_path
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.source import SafetyDirection
from safety_steer.evaluation.transfer import random_direction
from safety_steer.extraction.text_model import load_text_model
from safety_steer.statistics import auroc
from safety_steer.steering.gate import open_gate
from safety_steer.steering.steer_conditioning import SteerSettings
from safety_steer.steering.steer_pictures import steer_pictures
from safety_steer.storage.bundled import SOURCE, bundled, packaged_model

from .vision_references import adapter_map, local_native, native

GROUPS = {"benign": 600, "no_object": 200, "unsafe": 400, "unsafe_effect": 200}
HARMLESS, UNSAFE = ("benign", "no_object"), ("unsafe", "unsafe_effect")
RATE = 0.01
LOCAL = "last_hidden_state"
CONTROLS = (0, 1)
ANCHORS = 1024
READER, OWN = "all-MiniLM-L6-v2", "SmolLM2-135M-Instruct"
LINEAR_GATE, ADAPTER, SHUFFLED, RANDOM = "linear, its gate linear too", "adapter", "shuffled pairs", "random direction"


@dataclass(frozen=True)
class Row:
    """One method in one space. AUROCs of unsafe objects and effects against harmless pictures, and the shares flagged at the
    limit that 1 % of those harmless pictures exceed; `own_limit` are shares of harmless and unsafe ones beyond its own 1 %.
    """

    method: str
    space: str
    cosine: float | None
    objects: float
    effects: float
    objects_flagged: float
    effects_flagged: float
    own_limit_harmless: float | None = None
    own_limit_objects: float | None = None
    changed_harmless: float | None = None


@torch.inference_mode()
def look(embedding: ImageTextEmbedding, scenes: list[Scene]) -> dict[str, Tensor]:
    """Return what the tower says of drawn scenes, by vision space, as the demo's CLIP vision names it."""
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for some in (scenes[start : start + 128] for start in range(0, len(scenes), 128)):
        before = embedding.tower.layers[:-2](to_network(torch.from_numpy(np.stack(draw(some)))))
        last = embedding.tower.layers[-2:](before)
        pooled = torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1)
        embeds = torch.nn.functional.normalize(embedding.picture_out(pooled), dim=-1)
        parts.append((last.flatten(2).transpose(1, 2), before.flatten(2).transpose(1, 2), embeds[:, None]))
    names = ("last_hidden_state", "penultimate_hidden_states", "image_embeds")
    return {name: torch.cat(found) for name, found in zip(names, zip(*parts, strict=True), strict=True)}


def collected(seen: Mapping[str, Tensor]) -> dict[str, AnchorStates]:
    """Gather the states of pictures."""
    return collect([{name: list(part) for name, part in seen.items()}], len(next(iter(seen.values()))))


def shares(harmless: Tensor, objects: Tensor, effects: Tensor) -> dict[str, float]:
    """Return AUROCs and what is flagged at the limit that 1 % of harmless pictures exceed."""
    limit = harmless.double().quantile(1 - RATE)
    return {
        "objects": auroc(objects, harmless),
        "effects": auroc(effects, harmless),
        "objects_flagged": float((objects > limit).double().mean()),
        "effects_flagged": float((effects > limit).double().mean()),
    }


def measured(method: str, aligned: AlignedDirection, shown: Mapping[str, Mapping[str, Tensor]]) -> list[Row]:
    """Measure the gate of every space of a direction, and how many harmless pictures steering at its default changes."""
    rows = []
    changed = [steer_pictures(shown[group], aligned, SteerSettings(), check=False) for group in HARMLESS]
    flags = torch.cat([outcome.gate.opening > 0 for outcome in changed if outcome.gate is not None])
    for name, space in aligned.spaces.items():
        decided = {group: open_gate(seen[name], space, rate=RATE) for group, seen in shown.items()}
        harmless = torch.cat([decided[group].scores for group in HARMLESS])
        objects, effects = (decided[group].scores for group in UNSAFE)
        limit = next(iter(decided.values())).threshold
        rows.append(
            Row(
                method,
                name,
                float(aligned.report[name].get("cosine", 0.0)),
                **shares(harmless, objects, effects),
                own_limit_harmless=float((harmless > limit).double().mean()),
                own_limit_objects=float((objects > limit).double().mean()),
                changed_harmless=float(flags.double().mean()),
            )
        )
    return rows


def mean_row(rows: list[Row]) -> Row:
    """Average rows of one control and space."""
    values = [{name: value for name, value in asdict(row).items() if not isinstance(value, str)} for row in rows]
    return Row(rows[0].method, rows[0].space, **{name: float(np.mean([one[name] for one in values])) for name in values[0]})


def natives(shown: Mapping[str, Mapping[str, Tensor]], seen: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> list[Row]:
    """Measure the references that see unsafe pictures of the target."""
    rows = []
    for name in seen:
        weights = native(seen[name].mean(1), own[name].mean(1))
        scores = {group: part[name].mean(1) @ weights for group, part in shown.items()}
        rows.append(_native_row("native, linear", name, scores))
        if name == LOCAL:
            network = local_native(seen[name], own[name], 0)
            with torch.inference_mode():
                heard = {group: network(part[name])[..., 0].logsumexp(-1) for group, part in shown.items()}
            rows.append(_native_row("native, network over patches", name, heard))
    return rows


def _native_row(method: str, name: str, scores: Mapping[str, Tensor]) -> Row:
    harmless = torch.cat([scores[group] for group in HARMLESS])
    return Row(method, name, None, **shares(harmless, *(scores[group] for group in UNSAFE)))


def read_by(name: str, direction: SafetyDirection, prompts: list[str]) -> Tensor:
    """Return what a model says of prompts: MiniLM's pooled last states, or the source's own standardised ones."""
    model = load_text_model(packaged_model(name))
    if name == READER:
        return encode_anchors(model, prompts, model.last_layer)["cross_attn"].pooled
    return direction.standardise(source_activations(direction, model, prompts)).float()


def sources(direction: SafetyDirection, said: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return source states of captions by the way they come to the source."""
    anchors, captions = ({"cross_attn": AnchorStates(said[name], [])} for name in ("anchors", "captions"))
    found = {"reverse": captions_in_source(direction, anchors, captions, range(ANCHORS))}
    return {**found, "direct": said["direct"]} if "direct" in said else found


@dataclass(frozen=True, eq=False)
class World:
    """What all methods are fitted with and measured on."""

    direction: SafetyDirection
    captions: list[str]
    source: Mapping[str, Tensor]
    states: Mapping[str, AnchorStates]
    seen: Mapping[str, Tensor]
    own: Mapping[str, Tensor]
    shown: Mapping[str, Mapping[str, Tensor]]

    def fitted(self, method: str, source: Tensor, direction: SafetyDirection | None = None, name: str = "ridge") -> list[Row]:
        """Fit a method and measure it."""
        settings = AlignSettings(map=name, require_better_than_chance=False)
        given = self.direction if direction is None else direction
        return measured(method, align_pictures(given, self.captions, source, self.states, "demo", settings), self.shown)

    def rows(self, method: str, number: int) -> list[Row]:
        """Return the rows of a method by name; `number` is the seed of a control."""
        source = self.source["reverse"]
        if method.removeprefix("linear, ") in self.source:
            return self.fitted(method, self.source[method.removeprefix("linear, ")])
        if method == LINEAR_GATE:
            return self.fitted(method, source, replace(self.direction, examples=None))
        if method == ADAPTER:
            # A bent map carries its class through samples, as the one of this name does.
            with mock.patch.dict(maps.MAPS, {"mlp": adapter_map}):
                return self.fitted(method, source, name="mlp")
        if method == SHUFFLED:
            order = torch.randperm(len(source), generator=torch.Generator().manual_seed(number))
            return self.fitted(method, source[order])
        if method == RANDOM:
            return self.fitted(method, source, random_direction(self.direction, number))
        return natives(self.shown, self.seen, self.own)


_world: list[World] = []  # what workers are forked with


def _rows(method: str, number: int) -> list[Row]:
    torch.set_num_threads(1)
    return _world[0].rows(method, number)


def run(split: str, count: int, seed: int, direct: bool, workers: int) -> dict[str, object]:
    """Fit every method and measure it on a split."""
    torch.set_num_threads(1)
    direction = SafetyDirection.load(bundled(SOURCE))
    embedding = cast(ImageTextEmbedding, load_network(weights_path("embedding"), "embedding")).eval()
    scenes, captions = drawn_scenes(count, seed)
    unsafe = [scene for group in UNSAFE for scene in sample_scenes("train", count // 2, group, seed)]
    drawn = {group: sample_scenes(split, size, group, seed) for group, size in GROUPS.items()}
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(workers, fork) as pool:
        texts = {"anchors": (READER, list(direction.anchors[:ANCHORS])), "captions": (READER, captions)}
        texts |= {"direct": (OWN, captions)} if direct else {}
        said = {name: pool.submit(read_by, model, direction, prompts) for name, (model, prompts) in texts.items()}
        looked = {name: pool.submit(look, embedding, some) for name, some in {"": scenes, "own": unsafe, **drawn}.items()}
        seen = {name: found.result() for name, found in looked.items()}
        source = sources(direction, {name: found.result() for name, found in said.items()})
    shown = {group: seen[group] for group in GROUPS}
    _world[:] = [World(direction, captions, source, collected(seen[""]), seen[""], seen["own"], shown)]
    single = [*(f"linear, {way}" for way in source), LINEAR_GATE, ADAPTER]
    with ProcessPoolExecutor(workers, fork) as pool:
        reference = pool.submit(_rows, "native", 0)
        alone = [pool.submit(_rows, method, 0) for method in single]
        controls = {method: [pool.submit(_rows, method, number) for number in CONTROLS] for method in (SHUFFLED, RANDOM)}
        rows = [row for future in alone for row in future.result()]
        for futures in controls.values():
            every = [row for future in futures for row in future.result()]
            rows += [mean_row([row for row in every if row.space == name]) for name in seen[""]]
        rows += reference.result()
    return {"split": split, "pictures": count, "seed": seed, "groups": GROUPS, "rows": [asdict(row) for row in rows]}


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", default="final", choices=("tune", "final"))
    parser.add_argument("--pictures", type=int, default=512)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--direct", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, default=Path("results/vision.json"))
    args = parser.parse_args()
    report = run(args.split, args.pictures, args.seed, args.direct, args.workers)
    known = json.loads(args.output.read_text()) if args.output.exists() else {}
    args.output.write_text(json.dumps({**known, args.split: report}, indent=1) + "\n")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
