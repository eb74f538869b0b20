"""The language model inside a CLIP: found in every family, read layer by layer, and left as it was."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any, NamedTuple

from support.comfyui import running_comfyui  # isort: skip
import comfy.model_management
import pytest
import torch
from support.comfyui import tiny, words
from support.families import clips

LONG = " ".join(["a cat on a table near a lake"] * 12)
PROMPTS = [*words.benign_prompts(6), "a (golden:1.4) cat (at night)", 'a "sign" \\(here', "\u732b", LONG, "a dog", "a cat"]


class Expected(NamedTuple):
    """A family's language model: its name inside the CLIP, its class, the text before a prompt, and shared tokens around it."""

    part: str
    architecture: str
    template: str
    edges: tuple[int, int]
    depth: int = clips.LAYERS


EXPECTED = {
    "hunyuan_video": Expected("llama", "Llama2", "\n", (2, 0)),
    "hidream": Expected("llama", "Llama2", "", (1, 0)),
    "qwen_image": Expected("qwen25_7b", "Qwen25_7BVLI", "\n", (1, 0)),
    "omnigen2": Expected("qwen25_3b", "Qwen25_3B", "\n", (1, 0)),
    "z_image": Expected("qwen3_4b", "Qwen3_4B", "\n", (1, 0)),
    "lumina2": Expected("gemma2_2b", "Gemma2_2B", "", (1, 0)),
    "newbie": Expected("gemma", "Gemma3_4B", "", (1, 0)),
    "flux2": Expected("mistral3_24b", "Mistral3Small24B", "\n", (2, 0)),
    "wan": Expected("umt5xxl", "T5", "", (0, 1), 2),
    "flux": Expected("t5xxl", "T5", "", (0, 1), 2),
}
every_family = pytest.mark.parametrize("family", [name for name in EXPECTED if clips.available(name)])


def clip_layers() -> Any:
    return running_comfyui.module("adapters.clip.hidden_layers")


def part_of(family: str) -> Any:
    return getattr(clips.clip(family).cond_stage_model, EXPECTED[family].part)


def pooled(family: str, prompts: list[str], **options: Any) -> torch.Tensor:
    source = clip_layers().find(clips.clip(family))
    made: torch.Tensor = clip_layers().pooled_activations(source, prompts, range(source.last_layer + 1), **options)
    return made


def by_comfyui(family: str, prompt: str, monkeypatch: pytest.MonkeyPatch) -> torch.Tensor:
    """Ask ComfyUI for the states of all layers, and average a prompt's own: (L, D). No padding, no weights."""
    row, part, clip = EXPECTED[family], part_of(family), clips.clip(family)
    tokenizer = getattr(clip.tokenizer, getattr(clip.tokenizer, "clip", row.part))
    ids = tokenizer.tokenizer(row.template + prompt)["input_ids"]
    clip.load_model()
    clip.cond_stage_model.reset_clip_options()
    clip.cond_stage_model.set_clip_options({"execution_device": clip.patcher.load_device})

    def states(layer: Any) -> torch.Tensor:
        monkeypatch.setattr(part, "layer", "all" if layer is None else "hidden")
        monkeypatch.setattr(part, "layer_idx", layer)
        monkeypatch.setattr(part, "layer_norm_hidden_state", False)
        made: torch.Tensor = part.encode_token_weights([[(number, 1.0) for number in ids]])[0][0]
        return made

    if row.architecture == "T5":  # it knows no "all": layer i is what block i - 1 gives
        embedded = part.transformer.get_input_embeddings()(torch.tensor(ids), out_dtype=torch.float32)
        made = torch.stack([embedded, *(states(layer) for layer in range(row.depth - 1))])
    else:
        made = states(None)[: row.depth]
    monkeypatch.undo()
    clip.cond_stage_model.reset_clip_options()
    return made[:, row.edges[0] : len(ids) - row.edges[1]].mean(1)


def least_cosine(one: torch.Tensor, other: torch.Tensor) -> float:
    return float(torch.nn.functional.cosine_similarity(one, other, dim=-1).min())


@pytest.fixture
def error() -> Any:
    return running_comfyui.module("safety_steer.errors").EncoderError


@every_family
def test_the_language_model_of_a_clip_is_found(family: str) -> None:
    source, row, transformer = clip_layers().find(clips.clip(family)), EXPECTED[family], part_of(family).transformer
    stack = transformer.encoder.block if row.architecture == "T5" else transformer.model.layers
    assert source.blocks is stack
    assert asdict(source.identity) == {
        "name": type(clips.clip(family).cond_stage_model).__name__.strip("_"),
        "architecture": row.architecture,
        "width": clips.WIDTH,
        "depth": row.depth,
    }
    assert (source.last_layer, source.edges) == (row.depth - 1, row.edges)


@every_family
def test_layers_are_those_comfyui_gives_whether_prompts_come_alone_or_together(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = pooled(family, PROMPTS)
    assert together.shape == (len(PROMPTS), EXPECTED[family].depth, clips.WIDTH)
    assert least_cosine(together, torch.stack([by_comfyui(family, prompt, monkeypatch) for prompt in PROMPTS])) > 0.9999
    assert least_cosine(together, torch.cat([pooled(family, [prompt]) for prompt in PROMPTS])) > 0.9999
    alike = [prompt for prompt in PROMPTS if prompt.startswith("a photo of a")]
    assert len(alike) > 1
    assert least_cosine(together[: len(alike)], pooled(family, alike)) > 0.9999
    assert least_cosine(together[-2], together[-1]) < 0.999
    assert torch.isfinite(pooled(family, ["", "a cat"])).all()


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_a_clip_without_a_language_model_is_an_error(family: str, error: Any) -> None:
    with pytest.raises(error, match=r"no language model .* pads every prompt to one length.* Connect a text encoder"):
        clip_layers().find(clips.clip(family))


def short_of_its_template(family: str, least: int, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Make an encoder that refuses prompts of less than so many tokens, as JoyImage does, and return its CLIP."""
    encoder = clips.clip(family).clone()
    original = encoder.cond_stage_model.encode_token_weights

    def encode(tokens: dict[str, Any]) -> Any:
        if len(tokens[EXPECTED[family].part][0]) < least:
            raise ValueError("the prompt did not include the template prefix.")
        return original(tokens)

    monkeypatch.setattr(encoder.cond_stage_model, "encode_token_weights", encode)
    return encoder


def test_an_encoder_that_wants_its_own_template_keeps_it(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = short_of_its_template("qwen_image", 34, monkeypatch)
    source = clip_layers().find(encoder)
    assert source.edges[0] > 30
    states = clip_layers().pooled_activations(source, ["a cat", "a dog", LONG], [0, 1])
    assert torch.isfinite(states).all()
    bare = clip_layers().pooled_activations(clip_layers().find(clips.clip("qwen_image")), ["a cat"], [0])
    torch.testing.assert_close(states[0, 0], bare[0, 0])


def test_an_encoder_that_refuses_every_prompt_is_named(error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(error, match=r"could not encode a prompt: the prompt did not include.* or choose a model folder"):
        clip_layers().find(short_of_its_template("qwen_image", 10_000, monkeypatch))


def test_layers_that_cannot_be_seen_are_an_error(error: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    unused = replace(clip_layers().find(clips.clip("wan")), blocks=torch.nn.ModuleList([torch.nn.Identity()]))
    with pytest.raises(error, match=r"WanTEModel does not show its layer 0. Choose a model folder"):
        clip_layers().pooled_activations(unused, ["a cat"], [0])
    monkeypatch.setattr(part_of("wan"), "num_layers", 99)
    with pytest.raises(error, match="no language model whose layers can be read"):
        clip_layers().find(clips.clip("wan"))


def test_a_pass_holds_what_its_longest_part_can_take(monkeypatch: pytest.MonkeyPatch) -> None:
    clip, sections, whole = clips.clip("flux"), [], pooled("flux", ["a cat"] * 9)
    monkeypatch.setattr(running_comfyui.module("adapters.clip.encode_prompts"), "TOKENS_PER_PASS", 3 * 77)
    counting = clip.cond_stage_model.clip_l.register_forward_pre_hook(lambda _, args: sections.append(len(args[0])))
    try:
        assert torch.allclose(pooled("flux", ["a cat"] * 9), whole, atol=1e-6)
    finally:
        counting.remove()
    assert sections[1:] == [3, 3, 3]


def hooks(clip: Any) -> list[Any]:
    return [part for part in clip.cond_stage_model.modules() if part._forward_pre_hooks or part._forward_hooks]


def test_nothing_is_left_on_the_clip() -> None:
    clip = clips.clip("qwen_image")
    before = tiny.encode(clip, PROMPTS[0])[0][0]
    source = clip_layers().find(clip)
    clip_layers().pooled_activations(source, PROMPTS, [0, 2])
    with pytest.raises(IndexError):
        clip_layers().pooled_activations(source, PROMPTS, [0, 99])
    assert hooks(clip) == []
    assert torch.equal(tiny.encode(clip, PROMPTS[0])[0][0], before)


@pytest.mark.parametrize("failure", [RuntimeError, comfy.model_management.InterruptProcessingException])
def test_nothing_is_left_on_the_clip_when_a_pass_breaks_off(failure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = clips.clip("qwen_image")
    before = tiny.encode(clip, PROMPTS[0])[0][0]
    source = clip_layers().find(clip)

    def fail(*_args: Any, **_options: Any) -> None:
        raise failure

    with monkeypatch.context() as patched:
        patched.setattr(source.blocks[2], "forward", fail)
        with pytest.raises(failure):
            clip_layers().pooled_activations(source, PROMPTS, [0, 3])
        with pytest.raises(failure):
            clip_layers().find(clip)
    assert hooks(clip) == []
    assert torch.equal(tiny.encode(clip, PROMPTS[0])[0][0], before)


def test_an_interruption_stops_before_the_next_pass() -> None:
    source, done, passes = clip_layers().find(clips.clip("qwen_image")), [], []

    def interrupt(count: int, _: int) -> None:
        done.append(count)
        comfy.model_management.interrupt_current_processing()

    counting = source.blocks[0].register_forward_pre_hook(lambda *_: passes.append(1))
    try:
        with pytest.raises(comfy.model_management.InterruptProcessingException):
            clip_layers().pooled_activations(source, [*["a cat"] * 3, LONG], [0, 1], interrupt)
    finally:
        counting.remove()
    assert (done, len(passes)) == ([3], 1)
    assert hooks(source.clip) == []
