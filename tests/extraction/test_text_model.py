"""Encoding against transformers' own hidden states, one prompt at a time and without padding."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support import tiny_models, wording
from torch import Tensor

from safety_steer.errors import DataError
from safety_steer.extraction.batching import batches
from safety_steer.extraction.text_model import (
    TextModel,
    load_text_model,
    mean_pool,
    pooled_activations,
    sink_mask,
    token_states,
)

PROMPTS = [*wording.sentences(9, seed=2), "a kite", "", "a", " ".join(["a red kite in the park"] * 5)]
LAYERS = [0, 1, 2, 3]
CAUSAL = {"llama": True, "clip": True, "bert": False, "t5": False}


@pytest.fixture(scope="module")
def loaded(models: dict[str, Path]) -> dict[str, TextModel]:
    return {kind: load_text_model(folder, "cpu") for kind, folder in models.items()}


def token_numbers(kind: str, prompt: str) -> list[int]:
    """What the prompt becomes: words and that family's special tokens, written out; a lone pad for nothing at all."""
    number = {word: index for index, word in enumerate(wording.VOCABULARY)}
    words = [number[word] for word in prompt.split()]
    frame = {"llama": ("<s>", None), "clip": ("<s>", "</s>"), "bert": ("[CLS]", "[SEP]"), "t5": (None, "</s>")}[kind]
    return [*(number[word] for word in frame[:1] if word), *words, *(number[word] for word in frame[1:] if word)]


def hidden_states(text_model: TextModel, numbers: list[int]) -> tuple[Tensor, ...]:
    """All hidden states of one unpadded prompt, by transformers itself."""
    with torch.no_grad():
        output = text_model.model(input_ids=torch.tensor([numbers]), output_hidden_states=True)
    return (*(state[0] for state in output.hidden_states[:-1]), output.last_hidden_state[0])


def pooled(kind: str, states: Tensor, pooling: str) -> Tensor:
    """The pooling rule, written out."""
    if pooling == "last":
        return states[-1]
    return states[1:].mean(0) if CAUSAL[kind] and len(states) > 1 else states.mean(0)


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_models_are_recognised(kind: str, loaded: dict[str, TextModel]) -> None:
    text_model = loaded[kind]
    assert text_model.causal == CAUSAL[kind]
    assert (text_model.identity.width, text_model.identity.depth, text_model.last_layer) == (48, 3, 3)
    assert text_model.identity.name == kind
    assert not text_model.model.training
    assert not any(weight.requires_grad for weight in text_model.model.parameters())


@pytest.mark.parametrize("kind", tiny_models.KINDS)
@pytest.mark.parametrize("pooling", ["mean", "last"])
@pytest.mark.parametrize("budget", [1, 24, 4096])
def test_pooled_states_do_not_depend_on_batches_padding_or_masks(
    kind: str, pooling: str, budget: int, loaded: dict[str, TextModel]
) -> None:
    found = pooled_activations(loaded[kind], PROMPTS, LAYERS, pooling, batch_tokens=budget)
    assert found.shape == (len(PROMPTS), 4, 48)
    assert found.dtype == torch.float32
    for prompt, rows in zip(PROMPTS, found, strict=True):
        for state, row in zip(hidden_states(loaded[kind], token_numbers(kind, prompt)), rows, strict=True):
            assert torch.allclose(row, pooled(kind, state, pooling), atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("kind", tiny_models.KINDS)
@pytest.mark.parametrize("layer", [0, 2, 3])
def test_token_states_are_the_real_tokens_without_the_sink(kind: str, layer: int, loaded: dict[str, TextModel]) -> None:
    for prompt, rows in zip(PROMPTS, token_states(loaded[kind], PROMPTS, layer, batch_tokens=32), strict=True):
        states = hidden_states(loaded[kind], token_numbers(kind, prompt))[layer]
        expected = states[1:] if CAUSAL[kind] and len(states) > 1 else states
        assert torch.allclose(rows, expected, atol=2e-4, rtol=1e-4)


def test_layers_come_in_the_order_asked_for(loaded: dict[str, TextModel]) -> None:
    there, back = (pooled_activations(loaded["bert"], PROMPTS, order) for order in ([0, 3, 1], [1, 3, 0]))
    assert torch.equal(there, back.flip(1))


def test_a_start_token_the_prompt_already_has_is_not_doubled(loaded: dict[str, TextModel]) -> None:
    with_start, without = pooled_activations(loaded["llama"], ["<s> a kite", "a kite"], [2])
    assert torch.allclose(with_start, without, atol=1e-5)


class Counting(torch.nn.Module):
    """A list of blocks that counts the hooks put on each."""

    def __init__(self, blocks: torch.nn.ModuleList) -> None:
        super().__init__()
        self.blocks = blocks
        self.asked: list[int] = []

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: int) -> torch.nn.Module:
        self.asked.append(index)
        return self.blocks[index]


def hooks(text_model: TextModel) -> list[int]:
    """How many hooks each module has."""
    return [len(module._forward_pre_hooks) + len(module._forward_hooks) for module in text_model.model.modules()]


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_only_layers_asked_for_are_hooked_and_no_hook_stays(kind: str, loaded: dict[str, TextModel]) -> None:
    counting, before = Counting(loaded[kind].blocks), hooks(loaded[kind])
    pooled_activations(replace(loaded[kind], blocks=counting), PROMPTS, [1, 3])
    assert set(counting.asked) == {1}
    assert hooks(loaded[kind]) == before


def blocks_run(text_model: TextModel, layers: list[int]) -> list[int]:
    """Which blocks are run for the states at some layers."""
    ran: list[int] = []

    def note(number: int) -> Any:
        return lambda *_: ran.append(number)

    handles = [block.register_forward_hook(note(number)) for number, block in enumerate(text_model.blocks)]
    try:
        pooled_activations(text_model, ["a kite"], layers)
    finally:
        for handle in handles:
            handle.remove()
    return ran


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_no_block_is_run_after_the_last_layer_asked_for(kind: str, loaded: dict[str, TextModel]) -> None:
    assert blocks_run(loaded[kind], [0]) == []
    assert blocks_run(loaded[kind], [1]) == [0]
    assert blocks_run(loaded[kind], [2, 0]) == [0, 1]
    assert blocks_run(loaded[kind], [1, 3]) == [0, 1, 2]


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_a_pass_that_ends_early_gives_the_same_numbers_and_leaves_the_model_whole(
    kind: str, loaded: dict[str, TextModel]
) -> None:
    whole = pooled_activations(loaded[kind], PROMPTS, LAYERS)
    for layers in ([0], [2], [1, 0], [2, 1]):
        before = hooks(loaded[kind])
        assert torch.equal(pooled_activations(loaded[kind], PROMPTS, layers), whole[:, layers])
        assert hooks(loaded[kind]) == before
    assert torch.equal(pooled_activations(loaded[kind], PROMPTS, LAYERS), whole)


def test_hooks_are_removed_when_the_forward_pass_fails(loaded: dict[str, TextModel]) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("out of memory")

    before = hooks(loaded["bert"])
    handle = loaded["bert"].blocks[0].register_forward_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="out of memory"):
            pooled_activations(loaded["bert"], PROMPTS, [0, 1])
    finally:
        handle.remove()
    assert hooks(loaded["bert"]) == before


def test_progress_counts_every_prompt(loaded: dict[str, TextModel]) -> None:
    seen: list[tuple[int, int]] = []
    pooled_activations(loaded["bert"], PROMPTS, [1], batch_tokens=30, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (len(PROMPTS), len(PROMPTS))
    assert len(seen) > 2


@pytest.mark.parametrize("kind", tiny_models.KINDS)
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_is_close_to_single(
    kind: str, dtype: str, models: dict[str, Path], loaded: dict[str, TextModel]
) -> None:
    half = load_text_model(models[kind], "cpu", dtype)
    assert {weight.dtype for weight in half.model.parameters()} >= {getattr(torch, dtype)}
    rows = pooled_activations(half, PROMPTS[:9], [2])[:, 0]
    assert rows.dtype == torch.float32
    expected = pooled_activations(loaded[kind], PROMPTS[:9], [2])[:, 0]
    assert float(torch.nn.functional.cosine_similarity(rows, expected).min()) > 0.99


@pytest.mark.parametrize("kind", tiny_models.KINDS)
def test_a_prompt_longer_than_the_model_is_cut(kind: str, loaded: dict[str, TextModel]) -> None:
    long = "a red kite in the park " * 300
    (rows,) = token_states(loaded[kind], [long], 1)
    assert 40 <= len(rows) <= 48
    assert bool(torch.isfinite(rows).all())


def test_a_prompt_longer_than_the_positions_is_cut_though_the_tokenizer_names_no_limit(tmp_path: Path) -> None:
    folder = tiny_models.save_model("bert", tmp_path / "bert")
    named = json.loads((folder / "tokenizer_config.json").read_text())
    named.pop("model_max_length")
    (folder / "tokenizer_config.json").write_text(json.dumps(named))
    (rows,) = token_states(load_text_model(folder, "cpu"), ["a red kite in the park " * 300], 1)
    assert 40 <= len(rows) <= 64


def test_the_text_half_of_a_text_image_model_is_used(tmp_path: Path, loaded: dict[str, TextModel]) -> None:
    import transformers

    text = loaded["clip"].model.config.to_dict()
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 8,
        "patch_size": 4,
    }
    both = transformers.CLIPModel(transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    both.text_model.load_state_dict(
        {name.removeprefix("text_model."): value for name, value in loaded["clip"].model.state_dict().items()}
    )
    both.save_pretrained(tmp_path / "both")
    tiny_models.make_tokenizer("clip").save_pretrained(tmp_path / "both")
    found = load_text_model(tmp_path / "both", "cpu")
    assert found.identity.width == 48
    assert torch.allclose(pooled_activations(found, PROMPTS, [2]), pooled_activations(loaded["clip"], PROMPTS, [2]), atol=1e-4)


@pytest.mark.parametrize("layers", [[-1], [4], [0, 9]])
def test_layers_out_of_range_are_refused(layers: list[int], loaded: dict[str, TextModel]) -> None:
    with pytest.raises(DataError, match="Expected layers 0 to 3"):
        pooled_activations(loaded["bert"], PROMPTS, layers)


def test_no_prompts_and_unknown_poolings_are_refused(loaded: dict[str, TextModel]) -> None:
    with pytest.raises(DataError, match="no prompts"):
        pooled_activations(loaded["bert"], [], [0])
    with pytest.raises(DataError, match="Expected pooling mean or last"):
        pooled_activations(loaded["bert"], PROMPTS, [0], "max")


def test_an_unknown_dtype_is_refused(models: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="Expected dtype auto, float32, float16, bfloat16, but got 'int8'"):
        load_text_model(models["bert"], "cpu", "int8")


@given(lengths=st.lists(st.integers(1, 60), max_size=40), budget=st.integers(1, 200))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_batches_cover_every_row_once_within_the_budget(lengths: list[int], budget: int) -> None:
    groups = batches(lengths, budget)
    assert sorted(row for group in groups for row in group) == list(range(len(lengths)))
    for group in groups:
        assert len(group) == 1 or len(group) * max(lengths[row] for row in group) <= budget


def test_batches_put_similar_lengths_together() -> None:
    lengths = [3, 40] * 50
    padding = sum(len(group) * max(lengths[row] for row in group) for group in batches(lengths, 400)) - sum(lengths)
    assert padding <= 10 * 37


def test_mean_pool_and_sink_mask_follow_their_definitions() -> None:
    states = torch.arange(24, dtype=torch.float32).reshape(2, 4, 3)
    mask = torch.tensor([[1, 1, 1, 0], [1, 0, 0, 0]])
    assert torch.equal(mean_pool(states, mask), torch.stack([states[0, :3].mean(0), states[1, 0]]))
    assert sink_mask(mask).tolist() == [[0, 1, 1, 0], [1, 0, 0, 0]]
    assert mask.tolist() == [[1, 1, 1, 0], [1, 0, 0, 0]]
