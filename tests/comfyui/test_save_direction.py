"""Save Safety Direction: listed and loaded as it was, nothing overwritten, and every bad name a queue can carry."""

from __future__ import annotations

from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
from support.comfyui import tiny
from support.comfyui.running_comfyui import DIRECTIONS
from test_extract import _files, extract  # noqa: F401


def save(filename: str, direction: Any = None) -> None:
    running_comfyui.call("SaveSafetyDirection", direction=direction or tiny.direction("sd15"), filename=filename)


def listed(name: str) -> Any:
    assert name in running_comfyui.module("adapters.folders").direction_names()
    return running_comfyui.call("LoadSafetyDirection", direction_name=name)[0]


def test_a_saved_direction_is_listed_and_loads_as_it_was() -> None:
    direction = extract()
    save(" my direction.v2.safetensors", direction)
    assert [path.name for path in DIRECTIONS.iterdir()] == ["my direction.v2.safetensors"]
    assert listed("my direction.v2.safetensors").content_hash == direction.content_hash


def test_no_file_is_overwritten_or_hidden() -> None:
    for _ in range(3):
        save("mine")
    kept = listed("mine.safetensors").content_hash
    save("mine", extract(layer="0"))
    assert sorted(path.name for path in DIRECTIONS.iterdir()) == [f"mine{end}.safetensors" for end in ("-2", "-3", "-4", "")]
    assert listed("mine.safetensors").content_hash == kept != listed("mine-4.safetensors").content_hash
    bundled = listed("smollm2-135m-instruct.safetensors").content_hash
    save("smollm2-135m-instruct")
    assert listed("smollm2-135m-instruct.safetensors").content_hash == bundled != kept
    assert listed("smollm2-135m-instruct-2.safetensors").content_hash == kept


@pytest.mark.parametrize(
    "name",
    ["", " ", "../x", "a/b", "a\\b", "/etc/x", ".hidden", ".safetensors", "a\nb", "a\0b", "C:x", "x" * 81, "\u732b" * 80],
    ids=ascii,
)
def test_a_bad_file_name_is_refused(name: str, error: Any) -> None:
    with pytest.raises(error, match=r"(?s)Expected a file name.*Change filename on Save"):
        save(name)
    assert list(DIRECTIONS.iterdir()) == []


@pytest.mark.parametrize("function", ["os.replace", "os.fsync", "tempfile.mkstemp", "pathlib.Path.mkdir"])
def test_a_full_disk_is_an_error_that_leaves_nothing(function: str, error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: Any, **_options: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(function, refuse)
        with pytest.raises(error, match=r"Could not write 'mine' to .*No space left.*Save Safety Direction again"):
            save("mine")
    assert list(DIRECTIONS.iterdir()) == []


def test_saving_ends_a_graph() -> None:
    load = {"class_type": "LoadSafetyDirection", "inputs": {"direction_name": "smollm2-135m-instruct.safetensors"}}
    save = {"class_type": "SaveSafetyDirection", "inputs": {"direction": ["1", 0], "filename": "copy"}}
    outputs = running_comfyui.Queue().run({"1": load, "2": save})
    assert outputs["2"]["text"][0].startswith("saved as copy.safetensors, ")
    assert (DIRECTIONS / "copy.safetensors").is_file()
