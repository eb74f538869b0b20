"""Encoding in parts: the bits of encoding all at once, from a folder of kept parts too, and directions that are the same."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from support import wording

from safety_steer.cli import main
from safety_steer.extraction import shards
from safety_steer.extraction.batching import batches
from safety_steer.extraction.shards import ShardedModel, load_sharded, parts_of
from safety_steer.extraction.text_model import load_text_model, pooled_activations, token_states
from safety_steer.runners.processes import Processes
from safety_steer.runners.runner import Here, Runner
from safety_steer.storage.kept_parts import KeptParts

PROMPTS = [*wording.sentences(60, seed=3), "a kite", "", "a", " ".join(["a red kite in the park"] * 5)]
TOKENS = 64


class Backwards:
    """Runs items in this process, the last one first, and counts them."""

    def __init__(self) -> None:
        self.count = 0

    def run(self, task: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[tuple[int, Any]]:
        for number, item in reversed(list(enumerate(items))):
            self.count += 1
            yield number, task(item)


def sharded(folder: Path, runner: Runner, kept: Path | None = None) -> ShardedModel:
    return load_sharded(str(folder), "cpu", "auto", runner, KeptParts(kept))


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "PART_BATCHES", 2)


def test_parts_hold_whole_batches_in_their_order() -> None:
    lengths = [3, 9, 9, 1, 30, 4, 4, 4, 12, 2, 2]
    parts = parts_of(lengths, 24)
    assert sorted(row for part in parts for row in part) == list(range(len(lengths)))
    whole = batches(lengths, 24)
    again = [[part[row] for row in group] for part in parts for group in batches([lengths[row] for row in part], 24)]
    assert again == whole


@pytest.mark.parametrize("kind", ["llama", "bert", "t5"])
@pytest.mark.parametrize("runner", [Here(), Backwards()], ids=["here", "backwards"])
def test_parts_give_the_bits_of_all_at_once(kind: str, runner: Runner, models: dict[str, Path]) -> None:
    whole, model = load_text_model(models[kind], "cpu"), sharded(models[kind], runner)
    for pooling in ("mean", "last"):
        expected = pooled_activations(whole, PROMPTS, [1, 3], pooling, TOKENS)
        assert torch.equal(pooled_activations(model, PROMPTS, [1, 3], pooling, TOKENS), expected)
    tokens = token_states(whole, PROMPTS, 2, TOKENS)
    assert all(map(torch.equal, token_states(model, PROMPTS, 2, TOKENS), tokens))


def test_kept_parts_are_not_made_again_and_damaged_ones_are(models: dict[str, Path], tmp_path: Path) -> None:
    first, second = Backwards(), Backwards()
    expected = pooled_activations(sharded(models["bert"], first, tmp_path), PROMPTS, [1], "mean", TOKENS)
    files = sorted(tmp_path.iterdir())
    assert len(files) == first.count > 3
    files[0].write_bytes(files[0].read_bytes()[:-3])
    files[1].write_bytes(b"")
    told: list[tuple[int, int]] = []
    again = pooled_activations(
        sharded(models["bert"], second, tmp_path), PROMPTS, [1], "mean", TOKENS, lambda *done: told.append(done)
    )
    assert torch.equal(again, expected)
    assert second.count == 2
    assert told[-1] == (len(PROMPTS), len(PROMPTS))


def test_kept_parts_of_another_model_or_setting_are_not_taken(models: dict[str, Path], tmp_path: Path) -> None:
    runs = [Backwards() for _ in range(4)]
    pooled_activations(sharded(models["bert"], runs[0], tmp_path), PROMPTS, [1], "mean", TOKENS)
    pooled_activations(sharded(models["llama"], runs[1], tmp_path), PROMPTS, [1], "mean", TOKENS)
    pooled_activations(sharded(models["bert"], runs[2], tmp_path), PROMPTS, [2], "mean", TOKENS)
    pooled_activations(sharded(models["bert"], runs[3], tmp_path), PROMPTS, [1], "last", TOKENS)
    assert all(run.count > 3 for run in runs)


@pytest.mark.slow
def test_processes_give_the_bits_of_one_process(models: dict[str, Path]) -> None:
    assert torch.equal(
        pooled_activations(sharded(models["bert"], Processes(2)), PROMPTS, [1], "mean", TOKENS),
        pooled_activations(load_text_model(models["bert"], "cpu"), PROMPTS, [1], "mean", TOKENS),
    )


def test_commands_take_a_folder_to_keep_parts_in(models: dict[str, Path], tmp_path: Path) -> None:
    pairs = wording.write_pairs(tmp_path / "pairs.jsonl", wording.stand_in_pairs())
    anchors = wording.write_prompts(tmp_path / "anchors.txt", wording.sentences(80, seed=9))
    made = []
    for more in ([], ["--keep", str(tmp_path / "kept")], ["--keep", str(tmp_path / "kept")]):
        target = tmp_path / f"{len(made)}.safetensors"
        given = ["extract", "--quiet", "--device", "cpu", "--source", str(models["llama"]), "--pairs", str(pairs)]
        assert main([*given, "--anchors", str(anchors), "-o", str(target), *more]) == 0
        made.append(target.read_bytes())
    assert made[0] == made[1] == made[2]
    assert list((tmp_path / "kept").iterdir())
