"""Extract Safety Direction: from a CLIP or a model folder, and every bad input a queue can carry."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from dataclasses import asdict
from functools import cache, partial
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.model_management
import pytest
import torch
import transformers
from support.comfyui import tiny, words
from support.comfyui.running_comfyui import DIRECTIONS
from support.families import clips
from support.families.rows import part
from tokenizers import Tokenizer, models, pre_tokenizers

PAIRS, MODELS = (running_comfyui.BASE / "models" / name for name in ("safety_pairs", "LLM"))


@pytest.fixture(autouse=True)
def _files() -> Iterator[None]:
    """Put the pairs into the pairs folder, and empty both folders afterwards."""
    PAIRS.mkdir(exist_ok=True)
    lines = [json.dumps(asdict(pair)) for pair in words.pairs()]
    (PAIRS / "pairs.jsonl").write_text("\n".join(lines))
    (PAIRS / "few.jsonl").write_text("\n".join(lines[:7]))
    yield
    for left in (*PAIRS.iterdir(), *DIRECTIONS.iterdir()):
        left.unlink()


@cache
def model_folder() -> str:
    """Make a small random language model in models/LLM, and return its name in the list."""
    folder = MODELS / "tiny-llama"
    vocabulary = sorted({word for prompt in [*words.benign_prompts(1000), words.DANGEROUS] for word in prompt.split()})
    numbers = {word: number for number, word in enumerate(["<unk>", "<s>", *vocabulary])}
    tokenizer = Tokenizer(models.WordLevel(numbers, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", unk_token="<unk>").save_pretrained(folder)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 2}
    with torch.inference_mode(False):
        made = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=len(numbers), bos_token_id=1, **sizes))
    tiny.randomise(made, 0)
    made.save_pretrained(folder)
    return "LLM/tiny-llama"


def extract(**changes: Any) -> Any:
    inputs = {"pairs": "pairs.jsonl", "model": "the clip input", "layer": "auto", "estimator": "mean"}
    given = {**inputs, "clip": clips.clip("qwen_image"), "anchors": "\n".join(words.benign_prompts(128)), **changes}
    return running_comfyui.call("ExtractSafetyDirection", **given)[0]


def test_a_direction_from_a_clip_says_how_well_it_separates_and_aligns(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "safety_steer"):
        direction = extract()
    curve = {layer: separation for layer, _, separation in direction.report["layer_curve"]}
    assert set(curve) == {0, 1, 2, 3}
    assert direction.layers[0] == 0
    assert all(curve[layer] > 0.95 for layer in direction.layers)
    assert "48 pairs, 128 harmless prompts, QwenImageTEModel" in caplog.text
    assert f"layers 0 (AUROC {curve[0]:.2f})" in caplog.text
    assert "categories global, fire, weapons" in caplog.text
    inputs = {"direction": direction, "map": "ridge", "max_anchors": 2048}
    [other] = running_comfyui.call("AlignSafetyDirection", clip=tiny.clip("sd15"), **inputs)
    assert set(other.spaces) == {"cross_attn", "pooled_output"}
    clip = clips.clip("qwen_image")
    [same] = running_comfyui.call("AlignSafetyDirection", clip=clip, **inputs)
    scores = []
    for side in ("safe", "unsafe"):
        states = [tiny.encode(clip, getattr(pair, side))[0][0] for pair in words.pairs()]
        pooled_states = torch.cat([running_comfyui.module("safety_steer.directions.pooling").pool(one) for one in states])
        scores.append(same.spaces["cross_attn"].safe_score(pooled_states)[:, 0])
    assert running_comfyui.module("safety_steer.statistics").auroc(*scores) > 0.85


# Encoders that put a prompt into a template of their own, whatever they are told: the part that reads it, and its class.
OWN_TEMPLATES = {
    "longcat_image": ("qwen25_7b", "Qwen25_7BVLI"),
    "pixeldit": ("gemma2_2b", "Gemma2_2B"),
    "lens": ("gpt_oss", "GptOssModel"),
}


def in_its_template(family: str, prompt: str) -> list[int]:
    """Return the tokens of a prompt and its template, without padding."""
    encoder = clips.clip(family).tokenizer
    tokenizer = getattr(encoder, OWN_TEMPLATES[family][0]).tokenizer
    if family == "longcat_image":
        texts = [encoder.T2I_PREFIX, prompt, encoder.SUFFIX]
    elif family == "pixeldit":
        texts = [part("comfy.text_encoders.pixeldit._PIXELDIT_CHI_PROMPT") + prompt]
    else:
        texts = [part("comfy.text_encoders.gpt_oss._lens_render_chat")(prompt)]
    return [number for text in texts for number in tokenizer(text)["input_ids"]]


@cache
def around(family: str) -> tuple[int, int]:
    """Return how many tokens every prompt begins and ends with."""
    one, other = (in_its_template(family, prompt) for prompt in ("a", "the"))
    alike = [[a == b for a, b in zip(*pair, strict=False)] for pair in ((one, other), (one[::-1], other[::-1]))]
    before, after = (found.index(False) for found in alike)
    return before, after


def by_comfyui(family: str, prompts: list[str], layers: list[int]) -> torch.Tensor:
    """Average the states that ComfyUI's class gives of each prompt's own tokens: (N, L, D)."""
    transformer = getattr(clips.clip(family).cond_stage_model, OWN_TEMPLATES[family][0]).transformer
    before, after = around(family)
    rows = []
    for prompt in prompts:
        ids = torch.tensor([in_its_template(family, prompt)])
        if family == "lens":
            given = transformer(ids, capture_layers=range(clips.LAYERS))["hidden_states"]
            states = torch.stack([transformer.embed_tokens(ids, out_dtype=torch.float32), *given], dim=1)
        else:
            plain = {"intermediate_output": "all", "final_layer_norm_intermediate": False, "dtype": torch.float32}
            states = transformer(ids, **plain)[1]
        rows.append(states[0, layers, before : ids.shape[1] - after].mean(1))
    return torch.stack(rows)


@pytest.mark.parametrize("family", [name for name in OWN_TEMPLATES if clips.available(name)])
def test_encoders_that_keep_their_template_give_the_direction_of_a_prompts_own_states(family: str) -> None:
    clip, library = clips.clip(family), running_comfyui.module("safety_steer.extraction.extract_direction")
    direction = extract(clip=clip, layer="0,2,3", anchors="\n".join(words.benign_prompts(64)))
    name = type(clip.cond_stage_model).__name__.strip("_")
    source = direction.source
    assert (source.name, source.architecture, source.width, source.depth) == (
        name,
        OWN_TEMPLATES[family][1],
        clips.WIDTH,
        clips.LAYERS,
    )
    with torch.inference_mode():
        expected = library.extract_with(
            partial(by_comfyui, family), source, source.depth - 1, words.pairs(), words.benign_prompts(64), "0,2,3"
        )
    assert direction.layers == expected.layers == (0, 2, 3)
    torch.testing.assert_close(direction.vectors, expected.vectors, rtol=1e-3, atol=1e-4)
    assert min(separation for _, _, separation in direction.report["layer_curve"]) > 0.9


def test_words_in_parentheses_and_padding_of_a_template_are_read_as_written() -> None:
    tokens = running_comfyui.module("adapters.clip.plain_tokens").plain
    for family in filter(clips.available, OWN_TEMPLATES):
        prompt, key = "a (golden:1.4) cat", OWN_TEMPLATES[family][0]
        made = tokens(clips.clip(family), {})(prompt)[key]
        assert [number for number, _ in made[0]] == in_its_template(family, prompt), family


@pytest.mark.skipif(not clips.available("ltxav_gemma4"), reason="this ComfyUI has no LTX-2 with Gemma 4")
def test_a_language_model_under_another_name_than_its_tokens_is_read() -> None:
    direction = extract(clip=clips.clip("ltxav_gemma4"), anchors="\n".join(words.benign_prompts(64)))
    assert (direction.source.architecture, direction.source.depth) == ("Gemma4_12B", clips.LAYERS)
    assert min(separation for _, _, separation in direction.report["layer_curve"]) > 0.9


def test_chosen_layers_and_bundled_prompts_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    node = running_comfyui.module("adapters.clip.learn_direction")
    monkeypatch.setattr(node, "read_prompts", lambda path: read.append(path.name) or words.benign_prompts(64))
    direction = extract(layer="2,0", anchors=" \n", estimator="lda")
    assert read == ["harmless_prompts.txt"]
    assert (direction.layers, direction.estimator, len(direction.anchors)) == ((2, 0), "lda", 64)
    assert direction.width == 2 * clips.WIDTH


def test_a_model_folder_gives_what_the_library_extracts_on_the_device_comfyui_names(monkeypatch: pytest.MonkeyPatch) -> None:
    name, done = model_folder(), []
    load = running_comfyui.module("safety_steer.extraction.text_model").load_text_model
    monkeypatch.setattr(comfy.model_management, "unload_all_models", lambda: done.append("room made"))
    monkeypatch.setattr(
        running_comfyui.module("adapters.clip.learn_direction"),
        "load_text_model",
        lambda path, device: done.append(device) or load(path, device),
    )
    direction = extract(model=name, clip=None)
    assert done == ["room made", "cpu"]
    assert (direction.source.name, direction.source.width, direction.source.depth) == ("tiny-llama", 32, 3)
    library = running_comfyui.module("safety_steer.extraction.extract_direction")
    expected = library.extract(load(MODELS / "tiny-llama"), words.pairs(), words.benign_prompts(128))
    assert direction.content_hash == expected.content_hash
    assert min(separation for _, _, separation in direction.report["layer_curve"]) > 0.9


@pytest.mark.parametrize("folder", [True, False], ids=["folder", "clip"])
def test_extraction_can_be_interrupted(folder: bool) -> None:
    changes = {"model": model_folder()} if folder else {}
    comfy.model_management.interrupt_current_processing()
    with pytest.raises(comfy.model_management.InterruptProcessingException):
        extract(**changes)
    assert extract(**changes).categories == ("global", "fire", "weapons")


def test_a_changed_file_of_pairs_is_read_again() -> None:
    fingerprint = running_comfyui.module("nodes.extract_direction").ExtractSafetyDirection.fingerprint_inputs
    before = fingerprint(pairs="pairs.jsonl", model="the clip input")
    os.utime(PAIRS / "pairs.jsonl", ns=(1, 1))
    assert before != fingerprint(pairs="pairs.jsonl", model="the clip input")
    assert fingerprint(pairs="missing.jsonl") == ""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"clip": None}, "Connect a CLIP to the clip input of Extract Safety Direction, or choose a model folder"),
        ({"model": "LLM/missing"}, "no language model 'LLM/missing'. Choose one from the list of Extract Safety Direction"),
        ({"model": "LLM/../LLM/tiny-llama"}, "There is no language model"),
        ({"model": "LLM/broken"}, "Cannot load a text model from .*broken"),
        ({"pairs": "missing.jsonl"}, "There is no file of pairs 'missing.jsonl'. Choose one from the list of Extract Safety"),
        ({"pairs": "../safety_pairs/pairs.jsonl"}, "There is no file of pairs"),
        ({"pairs": "link.jsonl"}, "is a link to a place outside the pair folders. Put the file itself there"),
        ({"pairs": "few.jsonl"}, "Expected at least 8 pairs, but got 7. Add pairs"),
        ({"anchors": "a cat\na dog"}, "Expected at least 64 benign anchors, but got 2. Add benign prompts"),
        *(({"layer": layer}, f"Expected layer auto.* from 0 to 3, but got '{layer}'") for layer in ("4", "x", "", "-1", "1,1")),
        ({"estimator": "magic"}, "Expected estimator mean.*but got 'magic'"),
    ],
    ids=str,
)
def test_bad_input_is_one_clear_error(changes: dict[str, Any], message: str, error: Any) -> None:
    outside = running_comfyui.BASE / "user" / "outside.jsonl"
    outside.write_text((PAIRS / "pairs.jsonl").read_text())
    (PAIRS / "link.jsonl").symlink_to(outside)
    (MODELS / "broken").mkdir(parents=True, exist_ok=True)
    (MODELS / "broken" / "config.json").write_text("{}")
    with pytest.raises(error, match=message):
        extract(**changes)
