"""Encoding on a cluster whose worker is killed half way: nothing lost, nothing made twice, the bits of one process."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import wording
from support.killing import Killing, ray_workers

from safety_steer.cli import main
from safety_steer.extraction import shards
from safety_steer.extraction.shards import load_sharded
from safety_steer.extraction.text_model import load_text_model, pooled_activations
from safety_steer.runners.runner import Runner
from safety_steer.storage.kept_parts import KeptParts

pytestmark = pytest.mark.slow
PROMPTS = wording.sentences(160, seed=5)
TOKENS = 64


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds workers in /proc")
def test_a_worker_killed_half_way_changes_no_bit(
    cluster: Runner, models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "PART_BATCHES", 1)
    killing = Killing(cluster, lambda: ray_workers("encode_part"))
    model = load_sharded(str(models["llama"]), "cpu", "auto", killing, KeptParts(tmp_path))
    expected = pooled_activations(load_text_model(models["llama"], "cpu"), PROMPTS, [1, 3], "mean", TOKENS)
    assert torch.equal(pooled_activations(model, PROMPTS, [1, 3], "mean", TOKENS), expected)
    assert killing.killed > 0
    assert killing.results == len(list(tmp_path.iterdir())) > 20


def test_commands_on_a_cluster_write_the_files_of_one_process(
    cluster: Runner, models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    del cluster  # it is there, and this process is connected to it
    pairs = wording.write_pairs(tmp_path / "pairs.jsonl", wording.stand_in_pairs())
    anchors = wording.write_prompts(tmp_path / "anchors.txt", wording.sentences(400, seed=9))
    written: dict[str, list[bytes]] = {}
    for name, more in {"alone": [], "cluster": ["--ray", "auto"]}.items():
        made = tmp_path / f"{name}.safetensors"
        common = ["--quiet", "--json", "--device", "cpu", *more]
        extract = ["extract", "--source", str(models["llama"]), "--pairs", str(pairs), "--anchors", str(anchors)]
        assert main([*extract, "-o", str(made), *common]) == 0
        capsys.readouterr()
        assert main(["score", str(made), "--encoder", str(models["llama"]), "--pairs", str(pairs), *common]) == 0
        written[name] = [made.read_bytes(), capsys.readouterr().out.encode()]
    assert written["cluster"] == written["alone"]
