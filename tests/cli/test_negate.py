"""`safety-steer negate` and `safeground` with tiny models: what they write and print, and bad input as one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from support import tiny_models, wording
from support.commands import Capture, answer, complaint
from transformers import CLIPConfig, CLIPModel

from safety_steer.cli import main
from safety_steer.extraction.image_text_model import load_image_text_model
from safety_steer.extraction.text_model import load_text_model, states_of_ids, token_ids
from safety_steer.negation.models import negate_pictures, negated
from safety_steer.negation.patch import WeightPatch
from safety_steer.storage.picture_tuples import LIST, read_picture, read_tuples

PROCESSOR = {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": 32},
    "crop_size": {"height": 32, "width": 32},
    "image_mean": [0.5] * 3,
    "image_std": [0.5] * 3,
}


def save_clip(folder: Path, seed: int = 0) -> Path:
    """Save a tiny CLIP with a tokenizer that knows the builders' words."""
    torch.manual_seed(seed)
    tokenizer = tiny_models.make_tokenizer("clip")
    side = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    text = {**side, **ends, "vocab_size": len(tokenizer), "max_position_embeddings": 32}
    config = CLIPConfig(text_config=text, vision_config={**side, "image_size": 32, "patch_size": 8}, projection_dim=8)
    CLIPModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PROCESSOR))
    return folder


def save_tuples(folder: Path, count: int = 10) -> Path:
    """Save pictures of noise in twos, with the builders' pairs as captions."""
    folder.mkdir()
    generator, rows = torch.Generator().manual_seed(0), []
    for number, pair in enumerate(wording.stand_in_pairs(count)):
        names = [f"{side}{number}.png" for side in ("safe", "unsafe")]
        for name, red in zip(names, (0, 255), strict=True):
            noise = torch.randint(0, 256, (40, 48, 3), generator=generator, dtype=torch.uint8)
            noise[..., 0] = red
            Image.fromarray(noise.numpy()).save(folder / name)
        rows.append({"safe": pair.safe, "unsafe": pair.unsafe, "safe_picture": names[0], "unsafe_picture": names[1]})
    (folder / LIST).write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture(scope="module")
def made(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("negate")
    paths = {kind: str(path) for kind, path in models.items()}
    paths["pairs"] = str(wording.write_pairs(folder / "pairs.jsonl", wording.stand_in_pairs()))
    paths["image_text"] = str(save_clip(folder / "image_text"))
    paths["tuples"] = str(save_tuples(folder / "tuples"))
    return paths


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_negate_writes_a_patch_of_a_text_model(kind: str, made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "patch.safetensors"
    data = answer(["negate", made[kind], made["pairs"], "--tau", "0.1", "-o", str(out)], capsys)
    patch = WeightPatch.load(out)
    assert data["hash"] == patch.content_hash
    assert data["negated"] == patch.count > 0
    assert data["layers"] == {name: len(layer.places) for name, layer in patch.layers.items()}
    assert patch.pairs == data["pairs"] == 24
    assert data["bytes"] == out.stat().st_size < 20_000
    model = load_text_model(made[kind])
    ids = token_ids(model, ["a woman holding a sword"])
    before = states_of_ids(model, ids, model.last_layer)[0]
    with negated(model.model, patch):
        assert not torch.equal(states_of_ids(model, ids, model.last_layer)[0], before)
    assert torch.equal(states_of_ids(model, ids, model.last_layer)[0], before)


def test_negate_is_reproducible_byte_for_byte(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    files = [tmp_path / name for name in ("one.safetensors", "two.safetensors")]
    for file in files:
        answer(["negate", made["bert"], made["pairs"], "-o", str(file)], capsys)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_layers_scores_and_the_number_of_pairs_can_be_chosen(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "patch.safetensors"
    more = ["--layers", "*.0.*fc2", "--scores", "plain", "--max-pairs", "9"]
    data = answer(["negate", made["clip"], made["pairs"], *more, "-o", str(out)], capsys)
    assert [name.split(".")[-1] for name in data["layers"]] == ["fc2"]
    assert data["pairs"] == 9
    assert not WeightPatch.load(out).weighted


def test_a_folder_of_pictures_is_for_the_vision_part(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    out = tmp_path / "patch.safetensors"
    data = answer(["negate", made["image_text"], made["tuples"], "--tau", "0.2", "-o", str(out)], capsys)
    assert {name.split(".")[-1] for name in data["layers"]} == {"fc2"}
    model = load_image_text_model(made["image_text"], "cpu")
    pairs = [(read_picture(one.safe_picture), read_picture(one.unsafe_picture)) for one in read_tuples(made["tuples"])]
    assert negate_pictures(model, pairs, tau=0.2).content_hash == data["hash"]


def test_the_table_names_every_layer(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    capsys.readouterr()
    assert main(["negate", made["t5"], made["pairs"], "--quiet", "-o", str(tmp_path / "patch.safetensors")]) == 0
    printed = capsys.readouterr().out
    assert "SelfAttention.o" in printed
    assert "chosen with 24 pairs" in printed


def measures(arguments: list[str], capsys: Capture) -> dict[str, Any]:
    return answer(["safeground", *arguments, "--device", "cpu"], capsys)


def test_safeground_measures_a_model_with_and_without_patches(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("scipy")
    model = ["--model", made["image_text"]]
    before = measures([made["tuples"], *model], capsys)
    assert before["tuples"] == 10
    assert set(before["measures"]) == {"P_ts", "P_tu", "P_vs", "P_vu", "Txt_s", "Img_s", "PS", "PU", "GS"}
    found = before["measures"]
    assert all(share["low"] <= share["value"] <= share["high"] for share in found.values())
    assert found["Txt_s"]["value"] <= min(found["P_vs"]["value"], found["P_vu"]["value"])
    sides = {"text": made["pairs"], "vision": made["tuples"]}
    patches = [str(tmp_path / f"{side}.safetensors") for side in sides]
    for path, source in zip(patches, sides.values(), strict=True):
        answer(["negate", made["image_text"], source, "--tau", "0.5", "--layers", "both", "-o", path], capsys)
    after = measures([made["tuples"], *model, "--patch", patches[0], "--patch", patches[1]], capsys)
    assert after["measures"] != found
    twice = measures([made["tuples"], *model, "--patch", patches[0], "--patch", patches[0]], capsys)
    assert twice["measures"] == found


def test_bad_input_is_one_line(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    out = ["-o", str(tmp_path / "patch.safetensors")]
    one_sided = wording.write_prompts(tmp_path / "one.jsonl", [json.dumps({"unsafe": "a sword", "category": "blades"})])
    few = wording.write_pairs(tmp_path / "few.jsonl", wording.stand_in_pairs(3))
    (tmp_path / "empty").mkdir()
    said = {
        "no 'safe'": ["negate", made["bert"], str(one_sided), *out],
        "at least 8": ["negate", made["bert"], str(few), *out],
        "no tuples.jsonl": ["negate", made["image_text"], str(tmp_path / "empty"), *out],
        "no linear layers of the kind 'gate'": ["negate", made["bert"], made["pairs"], "--layers", "gate", *out],
        "Expected --tau": ["negate", made["bert"], made["pairs"], "--tau", "2", *out],
        "end in .safetensors": ["negate", made["bert"], made["pairs"], "-o", str(tmp_path / "patch.bin")],
        "no model at": ["negate", str(tmp_path / "nothing"), made["pairs"], *out],
        "does not embed texts and pictures": ["negate", made["bert"], made["tuples"], *out],
    }
    for words, arguments in said.items():
        assert words in complaint(arguments, capsys, tmp_path), words


def test_a_patch_of_another_model_is_one_line(made: dict[str, str], tmp_path: Path, capsys: Capture) -> None:
    pytest.importorskip("scipy")
    path = str(tmp_path / "patch.safetensors")
    answer(["negate", made["bert"], made["pairs"], "-o", path], capsys)
    words = complaint(["safeground", made["tuples"], "--model", made["image_text"], "--patch", path], capsys, tmp_path)
    assert "Expected the model that this patch was made in" in words
