"""Refuse Unsafe Requests on ComfyUI's real language models, small and with random weights: what it writes and leaves alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.sd
import folder_paths
import pytest
import torch
from support.comfyui import tiny
from support.families import clips
from test_examples import to_api

import nodes

FAMILIES = ("z_image", "lumina2", "ltxav", "flux2_klein")
REQUEST, OTHER = "a cat on a table near a lake", "describe a dog in the garden at night"
FOLDER = running_comfyui.BASE / "models" / "safety_refusals"
TOKENS = 6
writes = pytest.mark.skipif(not hasattr(comfy.sd.CLIP, "generate"), reason="this ComfyUI writes no text")


def library(name: str) -> Any:
    return running_comfyui.module(f"safety_steer.refusal.{name}")


def adapter() -> Any:
    return running_comfyui.module("adapters.clip.refusal")


def writing() -> list[str]:
    """Families whose language model can write, in this checkout."""
    found = []
    for family in FAMILIES:
        if family in clips.ENCODERS and clips.available(family):
            stacks = [module for module in clips.clip(family).cond_stage_model.modules() if hasattr(module, "generate")]
            found += [family] if any(hasattr(module, "logits") for module in stacks) else []
    return found


every_writer = pytest.mark.parametrize("family", writing() if hasattr(comfy.sd.CLIP, "generate") else ["none"])


def head_for(clip: Any, seed: int = 3) -> Any:
    """A head of random numbers that knows this CLIP's language model again."""
    writer, generator = adapter().find_writer(clip), torch.Generator().manual_seed(seed)
    width, depth = int(writer.stack.embed_tokens.weight.shape[-1]), len(writer.blocks)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    tokens = torch.tensor([3, 5, 8])
    rows = library("guard").embedding_rows(writer.stack.embed_tokens, tokens, torch.device("cpu"))
    network = running_comfyui.module("safety_steer.directions.prober").Prober
    prober = network(noise(64, width), noise(64), 0.02 * noise(2, 64), noise(2))
    identity = running_comfyui.module("safety_steer.directions.source").ModelIdentity("small", "Small", width, depth)
    steer = noise(width, width)
    return library("head").RefusalHead(identity, 1, prober, steer, 0.5, 0.5, "no", "", tokens, rows.half())


def written(clip: Any, request: str = REQUEST, sampled: bool = False) -> list[int]:
    """Return what ComfyUI writes for a request."""
    tokens = clip.tokenize(request, min_length=1)
    found: list[int] = clip.generate(tokens, do_sample=sampled, max_length=TOKENS, seed=1)
    return found


def by_library(clip: Any, head: Any, strength: float, threshold: float, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Write with the library's guard put by hand where the logits are made, in place of around the pass."""
    guard = library("guard").Guard(head, strength, threshold)
    writer = adapter().find_writer(clip)
    owner = next(module for module in clip.cond_stage_model.modules() if getattr(module, "model", None) is writer.stack)
    logits = owner.logits
    monkeypatch.setattr(owner, "logits", lambda x: logits(guard.change(x)))
    watched = running_comfyui.module("safety_steer.extraction.layer_hooks").watched
    with watched(writer.blocks, [head.layer], guard.read, "x"):
        found = written(clip)
    monkeypatch.undo()
    return found


def forward_of(clip: Any) -> Any:
    return getattr(adapter().find_writer(clip).stack.forward, "__func__", None)


@writes
@every_writer
def test_open_gates_write_what_the_library_writes_and_the_clip_stays_as_it_is(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = clips.clip(family)
    head, alone, plain = head_for(clip), written(clip), forward_of(clip)
    refusing = adapter().refusing(clip, head, 0.5, 0.0)
    changed = written(refusing)
    assert changed == by_library(clip, head, 0.5, 0.0, monkeypatch)
    assert changed != alone
    assert written(clip) == alone
    assert forward_of(clip) is plain, "ComfyUI did not take the patch off"
    assert written(refusing) == changed
    refusing.patcher.detach()
    assert forward_of(clip) is plain


@writes
@every_writer
def test_strength_0_and_closed_gates_write_the_same_and_prompts_are_encoded_as_before(family: str) -> None:
    clip = clips.clip(family)
    head = head_for(clip)
    before = clip.encode_from_tokens_scheduled(clip.tokenize(REQUEST))
    for strength, threshold in ((0.0, 0.0), (0.5, 1.0)):
        refusing = adapter().refusing(clip, head, strength, threshold)
        for sampled in (False, True):
            assert written(refusing, sampled=sampled) == written(clip, sampled=sampled)
    refusing = adapter().refusing(clip, head, 0.5, 0.0)
    written(refusing)
    after = refusing.encode_from_tokens_scheduled(refusing.tokenize(REQUEST))
    for one, other in zip(before, after, strict=True):
        assert torch.equal(one[0], other[0])


@writes
def test_every_request_has_a_verdict_of_its_own() -> None:
    clip = clips.clip("z_image")
    head, told = head_for(clip), list[tuple[float, bool]]()
    adapted = adapter().refusing(clip, head, 0.5, 0.0, lambda score, refused: told.append((score, refused)))
    for request in (REQUEST, OTHER, REQUEST):
        written(adapted, request)
    assert len(told) == 3
    assert told[0] == told[2] != told[1]
    limit = (told[0][0] + told[1][0]) / 2
    one = adapter().refusing(clip, head, 0.5, limit)
    for request, (score, _) in zip((REQUEST, OTHER), told, strict=False):
        assert (written(one, request) == written(clip, request)) == (score < limit)


@writes
def test_two_refusals_and_a_lora_go_together() -> None:
    clip = clips.clip("z_image")
    head = head_for(clip)
    once = adapter().refusing(clip, head, 0.25, 0.0)
    twice = adapter().refusing(once, head_for(clip, seed=9), 0.5, 0.0)
    assert len({tuple(written(one)) for one in (clip, once, twice)}) == 3
    name = "qwen3_4b.transformer.model.layers.1.mlp.down_proj.weight"
    weight = clip.patcher.model_state_dict()[name]
    patched = clip.clone()
    assert patched.add_patches({name: ("diff", (torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)),))})
    both = adapter().refusing(patched, head, 0.25, 0.0)
    assert written(both) not in (written(once), written(patched))


@pytest.fixture
def files() -> Iterator[Any]:
    """Put the refusal file of one encoder into the folder, and take it out afterwards."""
    FOLDER.mkdir(exist_ok=True)
    head = head_for(clips.clip("z_image"))
    head.save(FOLDER / "small.safetensors")
    wide = replace(head, rows=-head.rows)
    wide.save(FOLDER / "other.safetensors")
    (FOLDER / "broken.safetensors").write_bytes(b"12345678901")
    folder_paths.filename_list_cache.clear()
    yield head
    for path in FOLDER.iterdir():
        path.unlink()
    folder_paths.filename_list_cache.clear()


def run(clip: Any, name: str = "small.safetensors", strength: float = 1.0, threshold: float = 0.0) -> Any:
    options = {"refusal_name": name, "strength": strength, "threshold": threshold}
    return running_comfyui.call("RefuseUnsafeRequests", clip=clip, **options)[0]


@writes
def test_the_node_takes_strength_and_threshold_from_the_file(files: Any) -> None:
    clip = clips.clip("z_image")
    from comfy_extras.nodes_textgen import TextGenerate

    def text(clip: Any) -> str:
        options = {"max_length": TOKENS, "sampling_mode": {"sampling_mode": "off"}}
        return str(TextGenerate.execute(clip, REQUEST, **options).args[0])

    by_hand = adapter().refusing(clip, files, files.strength, files.threshold)
    assert text(run(clip)) == text(by_hand)
    assert text(run(clip, threshold=1e-6)) == text(adapter().refusing(clip, files, files.strength, 1e-6))
    assert text(run(clip, strength=0.0, threshold=1e-6)) == text(clip)


@writes
@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("absent.safetensors", "DataError", "There is no refusal file .* make one .* choose it in Refuse Unsafe Requests"),
        ("../safety_directions/x.safetensors", "DataError", "There is no refusal file"),
        ("broken.safetensors", "FileFormatError", "not a safetensors file or is cut short"),
        ("other.safetensors", "MismatchError", "has other embeddings"),
    ],
)
def test_a_wrong_file_is_one_clear_error(name: str, kind: str, says: str) -> None:
    error = getattr(running_comfyui.module("safety_steer.errors"), kind)
    with pytest.raises(error, match=says):
        run(clips.clip("z_image"), name)


def example() -> dict[str, Any]:
    """The example workflow as the server takes it, with short answers."""
    path = running_comfyui.REPOSITORY / "example_workflows" / "refuse-unsafe-requests.json"
    graph = to_api(json.loads(path.read_text(encoding="utf-8")))
    for each in graph.values():
        if each["class_type"] == "TextGenerate":
            each["inputs"]["max_length"] = TOKENS
    return graph


def shown(outputs: dict[str, Any], graph: dict[str, Any]) -> list[str]:
    return [outputs[number]["text"][0] for number, each in graph.items() if each["class_type"] == "PreviewAny"]


@writes
def test_the_example_says_what_to_do_where_there_is_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_paths, "get_filename_list", listed := with_model(folder_paths.get_filename_list))
    assert not listed("safety_refusals")
    graph = example()
    _, _, outputs, node_errors = running_comfyui.validate(graph)
    # What is written without the node is shown all the same.
    previews = [number for number, each in graph.items() if each["class_type"] == "PreviewAny"]
    assert [number for number in previews if number in outputs] == previews[1:]
    [number] = [number for number, each in graph.items() if each["class_type"] == "RefuseUnsafeRequests"]
    [error] = node_errors[number]["errors"]
    assert "There is no refusal file 'qwen3-4b-refusal.safetensors'. None comes with Safety Steer: make one" in error["details"]
    assert "safety-steer refuse train" in error["details"]
    assert str(FOLDER) in error["details"]
    options = nodes.NODE_CLASS_MAPPINGS["RefuseUnsafeRequests"].INPUT_TYPES()["required"]["refusal_name"]
    assert "none yet: make one first" in str(options)


@writes
@pytest.mark.parametrize("threshold", [1e-6, 1.0])
def test_the_example_shows_what_is_written_with_and_without(
    threshold: float, files: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, clip = example(), clips.clip("z_image")
    [node] = [each for each in graph.values() if each["class_type"] == "RefuseUnsafeRequests"]
    replace(files, threshold=threshold).save(FOLDER / node["inputs"]["refusal_name"])
    folder_paths.filename_list_cache.clear()
    monkeypatch.setattr(folder_paths, "get_filename_list", with_model(folder_paths.get_filename_list))
    monkeypatch.setattr(nodes.CLIPLoader, "load_clip", lambda *_args, **_chosen: (clip,))
    queue = running_comfyui.Queue()
    refusing, plain = shown(queue.run(graph), graph)
    assert plain
    assert (refusing == plain) is (threshold == 1.0)
    queue.run(graph)
    assert queue.executed == []


def with_model(original: Any) -> Any:
    """List the language model of the example too."""
    return lambda name: [*original(name), *(["qwen_3_4b.safetensors"] if name == "text_encoders" else [])]


@writes
@pytest.mark.usefixtures("files")
def test_a_clip_that_writes_nothing_is_an_error() -> None:
    error = running_comfyui.module("safety_steer.errors").EncoderError
    with pytest.raises(error, match=r"Expected a CLIP with one language model that writes text, but .* holds none"):
        run(tiny.clip("sd15"))
    with pytest.raises(error, match=r"holds none"):  # its generate fails in ComfyUI 0.33
        run(clips.clip("qwen_image"))


def test_a_comfyui_without_writing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    error = running_comfyui.module("safety_steer.errors").EncoderError
    monkeypatch.delattr(comfy.sd.CLIP, "generate", raising=False)
    with pytest.raises(error, match=r"This ComfyUI does not write text yet.*Update ComfyUI"):
        adapter().find_writer(tiny.clip("sd15"))
