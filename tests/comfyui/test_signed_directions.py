"""What loading says of where a direction comes from, and of its signature."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

from support.comfyui import running_comfyui  # isort: skip
import pytest
from support.comfyui import tiny
from support.comfyui.running_comfyui import DIRECTIONS, shown
from support.comfyui.tiny import align
from test_sharing import save

pytestmark = pytest.mark.usefixtures("empty_folders")
container = running_comfyui.module("safety_steer.storage.container")
signature = running_comfyui.module("safety_steer.storage.signature")
keys = running_comfyui.module("safety_steer.storage.keys")
folders = running_comfyui.module("adapters.folders")
KEY = "ab" * 32


def signed(path: Path, **claims: str) -> Path:
    """Put a signature into a file that names its content, made by nobody."""
    contents = container.read_contents(path)
    statement = {"by": "Ada Example", "content": contents.content_hash, "version": "0.1.0", **claims}
    block = {"algorithm": "ed25519", "key": KEY, "signature": "0" * 128, "statement": statement}
    container.write(path, contents.document, contents.tensors, {signature.FIELD: json.dumps(block)})
    return path


@pytest.fixture
def source() -> Path:
    path = DIRECTIONS / "tiny.safetensors"
    tiny.direction("sd15").save(path)
    return path


def last_line(path: Path) -> str:
    return shown("LoadSafetyDirection", direction_name=path.name)[1].split("\n")[-1]


def test_loading_a_direction_says_where_it_comes_from(source: Path) -> None:
    direction, text = shown("LoadSafetyDirection", direction_name=source.name)
    assert f"from {direction.source.name}, layers " in text
    prompts = running_comfyui.module("safety_steer.storage.prompt_files").prompts_hash(direction.anchors)
    made = direction.report["made"]["pairs"][:12]
    assert f"pairs {made}, harmless prompts {prompts[:12]}, content {direction.content_hash[:12]}" in text
    assert text.endswith("\nnot signed")


def test_without_cryptography_a_signature_is_told_and_not_checked(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    assert (
        last_line(signed(source)) == f"signature of 'Ada Example' (key {KEY[:16]}) not checked: cryptography is not installed"
    )


def test_a_broken_signature_is_a_warning_and_steering_goes_on(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    signed(source, content="0" * 64)
    with caplog.at_level(logging.WARNING, "safety_steer"):
        direction, text = shown("LoadSafetyDirection", direction_name=source.name)
    assert text.split("\n")[-1].startswith("BROKEN SIGNATURE: the file was changed after it was signed")
    assert "'tiny.safetensors' has a BROKEN SIGNATURE" in caplog.text
    assert direction.content_hash == tiny.direction("sd15").content_hash
    path = signed(save(align("sd15")), content="0" * 64)
    loaded, text = shown("LoadAlignedDirection", aligned_name=path.name, clip=tiny.clip("sd15"))
    assert "BROKEN SIGNATURE" in text
    assert loaded.encoder == "SD1ClipModel"


def test_a_signature_holds_where_cryptography_is_installed(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("cryptography", reason="needs the package cryptography")
    secret, public, _ = keys.new_key(tmp_path / "ada", "Ada Example")
    contents = container.read_contents(source)
    text = signature.sign(contents, keys.read_secret(secret))
    container.write(source, contents.document, contents.tensors, {signature.FIELD: text})
    assert "a key you have not marked as trusted" in last_line(source)
    state = running_comfyui.module("nodes.load_direction").LoadSafetyDirection.fingerprint_inputs
    before = state(direction_name=source.name)
    folders.trusted_keys_folder().mkdir(parents=True, exist_ok=True)
    (folders.trusted_keys_folder() / "ada.pub").write_bytes(public.read_bytes())
    assert last_line(source).startswith("signed by Ada Example (key ")
    assert state(direction_name=source.name) != before
    signed(source)
    assert "it was not made with the key it names" in last_line(source)


def test_a_file_that_is_no_key_is_left_out_and_told(source: Path, caplog: pytest.LogCaptureFixture) -> None:
    folders.trusted_keys_folder().mkdir(parents=True, exist_ok=True)
    (folders.trusted_keys_folder() / "odd.pub").write_text("no key")
    with caplog.at_level(logging.WARNING, "safety_steer"):
        assert last_line(source) == "not signed"
    assert "leaves out a trusted key: 'odd.pub' is no safety steer public key" in caplog.text
