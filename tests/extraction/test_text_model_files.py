"""Models that cannot be loaded: each is refused with an error that says what is wrong with its files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support import tiny_models

from safety_steer.errors import DataError, EncoderError
from safety_steer.extraction.image_text_model import load_image_text_model
from safety_steer.extraction.text_model import load_text_model


def copied(models: dict[str, Path], kind: str, folder: Path) -> Path:
    """A model folder of its own, to be damaged."""
    folder.mkdir()
    for file in models[kind].iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_paths_without_a_model_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file.bin").write_bytes(b"x")
    for path in (tmp_path / "absent", tmp_path / "absent.gguf", tmp_path / "file.bin"):
        with pytest.raises(EncoderError, match="There is no model at"):
            load_text_model(path, "cpu")
    with pytest.raises(EncoderError, match="holds no config"):
        load_text_model(tmp_path, "cpu")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_folder_that_lacks_a_file_is_refused(name: str, models: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(models, "bert", tmp_path / "bert")
    (folder / name).unlink()
    with pytest.raises(EncoderError):
        load_text_model(folder, "cpu")


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"])
@pytest.mark.parametrize("damage", ["empty", "half", "noise"])
def test_a_folder_with_a_damaged_file_is_refused(name: str, damage: str, models: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(models, "bert", tmp_path / "bert")
    data = (folder / name).read_bytes()
    (folder / name).write_bytes({"empty": b"", "half": data[: len(data) // 2], "noise": bytes(range(256)) * 4}[damage])
    with pytest.raises(EncoderError, match="Cannot load a text model"):
        load_text_model(folder, "cpu")


def test_weights_that_are_missing_are_not_made_up(models: dict[str, Path], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = copied(models, "llama", tmp_path / "llama")
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "layers.1." not in name}
    assert len(kept) < len(weights)
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(EncoderError):
        load_text_model(folder, "cpu")


@pytest.mark.parametrize("data", [b"", b"GGUF", b"GGUF\x03\0\0\0" + b"\xff" * 16, b"\0" * 4096, b"GGUF\x03\0\0\0" + b"\0" * 16])
def test_a_damaged_gguf_file_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(data)
    for path in (tmp_path / "model.gguf", tmp_path):
        with pytest.raises(EncoderError, match="Cannot load a text model"):
            load_text_model(path, "cpu")


def test_a_folder_of_several_gguf_files_asks_for_one(tmp_path: Path) -> None:
    for name in ("one.gguf", "two.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
    with pytest.raises(EncoderError, match=r"2 \.gguf files"):
        load_text_model(tmp_path, "cpu")


def test_a_vision_model_is_refused(tmp_path: Path) -> None:
    import transformers

    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "image_size": 8,
        "patch_size": 4,
    }
    transformers.ViTModel(transformers.ViTConfig(**sizes)).save_pretrained(tmp_path / "vit")
    with pytest.raises(EncoderError):
        load_text_model(tmp_path / "vit", "cpu")
    tiny_models.make_tokenizer("bert").save_pretrained(tmp_path / "vit")
    with pytest.raises(EncoderError):
        load_text_model(tmp_path / "vit", "cpu")


@pytest.mark.parametrize("device", ["nonsense", "meta:3:4", "cuda:99"])
def test_a_device_that_is_not_there_is_refused(device: str, models: dict[str, Path]) -> None:
    with pytest.raises((EncoderError, DataError)):
        load_text_model(models["bert"], device)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 538090408\n"


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("kind", ["bert", "clip"])
def test_a_pointer_of_git_lfs_is_called_what_it_is(name: str, kind: str, models: dict[str, Path], tmp_path: Path) -> None:
    folder = copied(models, kind, tmp_path / kind)
    (folder / name).write_bytes(POINTER)
    for load in (load_text_model, load_image_text_model):
        with pytest.raises(EncoderError, match=f"'{name}' is a Git LFS pointer"):
            load(folder, "cpu")


def test_a_gguf_file_that_is_a_pointer_is_called_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(POINTER)
    for path in (tmp_path / "model.gguf", tmp_path):
        with pytest.raises(EncoderError, match=r"'model\.gguf' is a Git LFS pointer"):
            load_text_model(path, "cpu")


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.99])
def test_a_gguf_file_that_is_cut_short_is_called_that(share: float, tmp_path: Path) -> None:
    gguf = pytest.importorskip("gguf")
    path = tmp_path / "whole.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    for number in range(8):
        writer.add_tensor(f"blk.{number}.attn_norm.weight", torch.ones(64, 64).numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    data = path.read_bytes()
    (tmp_path / "cut.gguf").write_bytes(data[: int(share * len(data))])
    with pytest.raises(EncoderError, match=r"cut short or damaged .*Get it again"):
        load_text_model(tmp_path / "cut.gguf", "cpu")
