"""The benchmark of fewer anchors: orders worked out by hand, what is measured on, and figures of a planted fit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support import builders
from support.brief import briefly_taught
from torch import Tensor

from benchmarks import fewer_anchors, splits, tuning_prompts
from benchmarks.anchor_choices import WAYS, Rows, chosen
from benchmarks.fewer_anchors import COLUMNS, compared, page
from benchmarks.side_by_side import Json
from benchmarks.transfer_table.prompts import Prompts
from safety_steer.directions.pooling import cut
from safety_steer.storage.prompt_files import Pair


def rows(states: Tensor, tokens: list[float] | None = None) -> Rows:
    return Rows(states, states, torch.tensor(tokens or [5.0] * len(states)), seed=0)


@pytest.mark.parametrize("way", WAYS)
def test_every_way_orders_every_row_once(way: str) -> None:
    states = torch.randn(50, 6, generator=torch.Generator().manual_seed(1))
    assert sorted(WAYS[way](rows(states))) == list(range(50))


def test_orders_are_those_worked_out_by_hand() -> None:
    crowd = torch.tensor([[1.0, 0.0], [1.0, 0.1], [1.0, -0.1], [0.0, 4.0], [-1.5, -4.0]])
    assert list(WAYS["far apart"](rows(crowd)))[1] in (3, 4)
    assert set(list(WAYS["leverage"](rows(crowd)))[:2]) >= {4}
    doubles = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    assert list(WAYS["without doubles"](rows(doubles, [9.0, 5.0, 5.0, 5.0])))[-1] == 0
    assert list(WAYS["without doubles"](rows(doubles, [5.0, 9.0, 5.0, 5.0])))[-1] == 1
    cheap = WAYS["clusters for tokens"](rows(doubles, [1000.0, 1.0, 5.0, 5.0]))
    assert cheap.index(1) < cheap.index(0)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("share", [0.5, 1.0])
def test_a_share_of_each_kind_is_chosen(way: str, share: float) -> None:
    direction = builders.direction_with_examples()
    assert direction.examples is not None
    found = chosen(direction, way, share)
    assert found == sorted(set(found))
    assert len(found) == share * len(direction.anchors)
    assert int(direction.examples.hard[found].sum()) == share * int(direction.examples.hard.sum())


def test_drawing_depends_on_the_seed() -> None:
    direction = builders.direction_with_examples()
    assert chosen(direction, "drawn", 0.5, 1) == chosen(direction, "drawn", 0.5, 1) != chosen(direction, "drawn", 0.5, 2)


def test_pairs_for_tuning_and_for_final_figures_share_nothing() -> None:
    texts = [f"a prompt, number {number}" for number in range(4000)]
    for name in splits.SETS:
        tuning, final = ({text for text in texts if held(name, text)} for held in (splits.tuning, splits.final))
        assert not tuning & final
        assert len(tuning) == pytest.approx(600, abs=80)
        assert len(final) == pytest.approx(600, abs=80)
    with pytest.raises(ValueError, match="no set 'other'"):
        splits.tuning("other", "a prompt")


def test_what_is_measured_on_is_in_no_figure_and_no_direction(tmp_path: Path) -> None:
    scenes = [f"a quiet scene, number {number}" for number in range(200)]
    for name in splits.SETS:
        lines = [{"safe": f"{name} {text}", "unsafe": f"{name} unsafe {text}", "category": "violence"} for text in scenes]
        (tmp_path / f"{name}_train_pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "coco_captions.txt").write_text("\n".join(f"caption {number}" for number in range(60)))
    long = ". ".join(f"sentence {number} of a long and harmless story about a town by the sea" for number in range(9))
    corpus = [f"{number} {long}" for number in range(40)]
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in corpus))
    every = [(name, f"{name} {text}", f"{name} unsafe {text}") for name in splits.SETS for text in scenes]
    train = [Pair(safe, unsafe, "violence") for _, safe, unsafe in every]
    final = Prompts({}, {"COCO": ["Caption  3"], "artists": [corpus[5]]}, [], train, ["caption 4", every[0][1]], {})
    found = tuning_prompts.tuning_prompts(final, tmp_path, tmp_path / "corpus.jsonl", ["caption 4", corpus[6]])
    assert {"caption 3", "caption 4"}.isdisjoint(found.groups["COCO"])
    assert len(found.groups["COCO"]) == 58
    assert {corpus[5], corpus[6]}.isdisjoint(found.groups["artists"])
    tuned = {(safe, unsafe) for name, safe, unsafe in every if splits.tuning(name, safe)}
    measured = {
        pair for name in splits.SETS for pair in zip(found.groups[f"safe {name}"], found.groups[f"unsafe {name}"], strict=True)
    }
    assert measured == tuned
    assert {(pair.safe, pair.unsafe) for pair in found.train} == {pair[1:] for pair in every} - tuned
    assert all(sentence in text for text, sentence in zip(found.groups["composites"], found.groups["sentences"], strict=True))


@briefly_taught()
def test_a_planted_fit_is_measured_and_another_order_of_its_anchors_is_another_fit() -> None:
    direction, world = builders.direction_with_examples(), builders.world()
    assert direction.examples is not None
    texts = [*direction.anchors, *direction.passages]
    tokens = dict(zip(texts, [*builders.states_with_examples().tokens, *builders.passage_states().tokens], strict=True))
    safe, unsafe, _ = world.pairs(30, seed=5)
    sides = {"safe": world.target(safe, 6), "unsafe": world.target(unsafe, 7)}
    groups = {f"{side} {name}": parts for side, parts in sides.items() for name in splits.SETS}
    groups |= {group: world.target(world.benign(300, seed=8), 9) for group in ("COCO", "artists")}
    groups |= {group: sides["unsafe"] for group in ("composites", "sentences")}
    pooled = {group: torch.stack([part.mean(0) for part in parts]) for group, parts in groups.items()}
    known = fewer_anchors.Known(pooled, {group: cut(parts) for group, parts in groups.items()}, tokens)

    def found(share: float, seed: int) -> Json:
        space, said = fewer_anchors.fitted(direction, known, chosen(direction, "clusters", share), seed)
        return said | fewer_anchors.measured(space, known)

    every = {seed: found(1.0, seed) for seed in range(2)}
    half = {seed: found(0.5, seed) for seed in range(2)}
    assert (every[0]["anchors"], half[0]["anchors"]) == (600, 300)
    assert (every[0]["hard"], half[0]["hard"]) == (120, 60)
    assert half[0]["tokens"] < every[0]["tokens"]
    assert min(every[0]["auroc"], every[0]["gate_coco"]) > 0.8
    assert every[0] | {"processor": 0} == found(1.0, 0) | {"processor": 0}
    assert every[0]["gate"] != every[1]["gate"]
    of_all, of_half = compared(every, every), compared(half, every)
    assert all(of_all[f"{name}_change"] == [0, 0] for name in COLUMNS)
    change = [half[seed]["gate"] - every[seed]["gate"] for seed in range(2)]
    assert of_half["gate_change"] == pytest.approx([sum(change) / 2, abs(change[0] - change[1]) / 2])
    ways = [{"way": way, "share": part, **of} for way, part, of in (("as they come", 1.0, of_all), ("clusters", 0.5, of_half))]
    header, _, first, second = page({"models": {"toy": ways}}).splitlines()
    assert header.startswith("| in toy | anchors | tokens | AUROC |")
    assert first.startswith(f"| all | 600 | 100% | {of_all['auroc']:.3f} |")
    assert second.startswith("| clusters | 300 | ")
    assert f"{of_half['gate_change'][0]:+.3f} (" in second
