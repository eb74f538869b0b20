"""Models that do not read the conditioning are noticed: by what it carries, and by asking the model itself."""

from __future__ import annotations

from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.comfyui import situations, tiny, words
from support.comfyui.situations import SITES, Situation, encode
from support.families import clips
from test_steering import apply, apply_conditioning

STRONG = {"operator": "add", "gate": "off"}
IDS = torch.tensor([[151644, 872, 198, 64, 8251]])
STAND_IN = IDS[..., None].float()
ONLY_IDS = {
    "numbers beside a stand-in": [[STAND_IN, {"text_input_ids": IDS}]],
    "a stand-in alone": [[STAND_IN, {}]],
    "numbers beside states": [[torch.zeros(1, 5, 32), {"text_input_ids": IDS}]],
}
O1 = "text_encoders.hidream_o1"


@pytest.mark.parametrize("conditioning", ONLY_IDS.values(), ids=ONLY_IDS)
def test_a_conditioning_of_token_ids_is_refused(conditioning: situations.Conditioning, error: Any) -> None:
    with pytest.raises(error, match="token ids"):
        apply_conditioning(conditioning, tiny.aligned("sd15"))
    for site in SITES:
        with pytest.raises(error, match="token ids"):
            Situation().sample(apply(tiny.model("sd15"), tiny.aligned("sd15"), site=site), (conditioning, encode("blurry")))


def test_a_conditioning_of_generated_sound_is_refused(error: Any) -> None:
    conditioning = [[encode(words.DANGEROUS)[0][0], {"conditioning_scale": torch.ones(1, 1, 1)}]]
    with pytest.raises(error, match="sound that was generated for the prompt"):
        apply_conditioning(conditioning, tiny.aligned("sd15"))
    for site in SITES:
        with pytest.raises(error, match="sound that was generated for the prompt"):
            Situation().sample(apply(tiny.model("sd15"), tiny.aligned("sd15"), site=site), (conditioning, encode("blurry")))


@pytest.mark.skipif(clips._find(O1) is None, reason="this ComfyUI has no HiDream-O1")
def test_nothing_is_aligned_to_an_encoder_of_token_ids(error: Any) -> None:
    target = tiny._Target(clips._find(f"{O1}.HiDreamO1TE"), clips._find(f"{O1}.HiDreamO1Tokenizer"))
    encoder = clips.comfy.sd.CLIP(target, model_options={"dtype": torch.float32})
    with pytest.raises(error, match="HiDreamO1TE gives token ids"):
        running_comfyui.call(
            "AlignSafetyDirection", direction=tiny.direction("sd15"), clip=encoder, map="ridge", max_anchors=64
        )
    with pytest.raises(error, match="token ids"):
        apply_conditioning(tiny.encode(encoder, words.DANGEROUS), tiny.aligned("sd15"))


def deaf(kind: str) -> Any:
    """Make a model whose layers drop what they read of the text."""
    model = tiny.model(kind)
    for name, parameter in model.model.diffusion_model.named_parameters():
        if "attn2.to_out" in name or "cross_attn.o" in name:
            parameter.data.zero_()
    return model


def passes(model: Any) -> list[int]:
    """Count the passes of a model, by their rows."""
    rows: list[int] = []
    model.model.diffusion_model.register_forward_pre_hook(lambda _, inputs: rows.append(len(inputs[0])))
    return rows


@pytest.mark.parametrize("site", SITES)
@pytest.mark.parametrize("kind", ["sd15", "wan"])
def test_a_model_that_does_not_answer_its_text_is_refused(kind: str, site: str, error: Any) -> None:
    graph, model = Situation(kind), deaf(kind)
    direction = situations.reachable(tiny.aligned(kind), site)
    for _ in range(2):
        with pytest.raises(error, match="off this MODEL wire"):
            graph.sample(apply(model, direction, site=site), graph.encoded())


@pytest.mark.parametrize(
    ("prompt", "settings"),
    [(words.DANGEROUS, {"strength": 0.0}), (words.HARMLESS, {})],
    ids=["strength 0", "not flagged"],
)
def test_a_model_is_not_asked_where_nothing_was_steered(prompt: str, settings: dict[str, float]) -> None:
    graph, model = Situation(), deaf("sd15")
    counted = passes(model)
    graph.sample(apply(model, tiny.aligned("sd15"), **settings), (encode(prompt), encode("blurry")))
    assert counted == [2, 2]


def test_a_model_is_asked_once_and_the_graph_has_the_same_bits() -> None:
    graph, model = Situation(), tiny.model("sd15")
    counted = passes(model)
    first = graph.sample(apply(model, tiny.aligned("sd15"), **STRONG), graph.encoded())
    assert counted == [2, 2, 2]
    second = graph.sample(apply(model, tiny.aligned("sd15"), **STRONG), graph.encoded())
    assert counted == [2] * 5
    assert torch.equal(first, second)


def test_a_question_that_fails_is_asked_again_and_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    graph, model, asked = Situation(), tiny.model("sd15"), []

    def fail(_: Any, _inputs: Any) -> None:
        asked.append(1)
        if len(asked) in (1, 4):
            raise RuntimeError("this model wants its wrapper")

    model.model.diffusion_model.register_forward_pre_hook(fail)
    for _ in range(2):
        graph.sample(apply(model, tiny.aligned("sd15"), **STRONG), graph.encoded())
    assert len(asked) == 6
    assert caplog.text.count("could not check that BaseModel answers its text: this model wants its wrapper") == 2


def test_a_model_that_draws_random_numbers_draws_the_same_ones() -> None:
    graph, model = Situation(), tiny.model("sd15")
    model.model.diffusion_model.register_forward_hook(lambda _, _inputs, output: output + 0.1 * torch.randn_like(output))
    sampled = []
    for _ in range(2):
        torch.manual_seed(0)
        sampled.append(graph.sample(apply(model, tiny.aligned("sd15"), **STRONG), graph.encoded()))
    assert torch.equal(*sampled)
