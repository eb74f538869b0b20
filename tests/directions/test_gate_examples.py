"""What a gate is taught with: no single prompt's state, sets that weigh the same, and a file that keeps it exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
import torch
from support import builders, forged
from torch import Tensor

from safety_steer.directions.gate_examples import ALIKE, EXAMPLES, PASSAGE_BYTES, GateExamples, gate_examples, split_by_length
from safety_steer.directions.source import SafetyDirection, pack_text
from safety_steer.errors import DataError, FileFormatError
from safety_steer.storage import container
from safety_steer.storage.prompt_files import Pair

TENSORS = ("unsafe_examples", "example_weights", "hard_anchors", "passages")
REST = ("unsafe", "weights", "hard")


def pairs_of(sizes: dict[str, int]) -> list[Pair]:
    """Pairs of sets of these sizes, one set after the other."""
    return [
        Pair(f"{name} umbrella {n}", f"{name} sword {n}", "blades", name) for name, size in sizes.items() for n in range(size)
    ]


def states_of(count: int, width: int = 6) -> Tensor:
    return torch.randn(count, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    target = tmp_path / "tiny.safetensors"
    with_examples().save(target)
    return target


def with_examples() -> SafetyDirection:
    return replace(builders.small_direction(), examples=builders.small_examples())


def test_every_example_is_the_mean_of_four_prompts_that_are_alike() -> None:
    states = states_of(11)
    made = gate_examples(states, pairs_of({"one": 11}), ["a kite"], [])
    means = {group: states[list(group)].mean(0) for group in combinations(range(11), ALIKE)}
    distances = torch.cdist(states, states)
    seen = []
    for row in made.unsafe:
        [group] = [group for group, mean in means.items() if torch.allclose(row, mean)]
        seen.append(group)
        assert any(set(distances[prompt].topk(ALIKE, largest=False).indices.tolist()) == set(group) for prompt in group)
    assert len(seen) == 11


def test_no_example_is_the_state_of_a_prompt() -> None:
    direction = builders.direction_with_examples()
    assert direction.examples is not None
    unsafe = direction.standardise(builders.world().source(builders.world().pairs(160, seed=1)[1]))
    nearest = torch.cdist(direction.examples.unsafe.double(), unsafe).amin(1)
    apart = torch.cdist(unsafe, unsafe).fill_diagonal_(torch.inf).amin(1)
    assert float(nearest.min()) > 0.2 * float(apart.median())
    assert len(direction.examples.unsafe) == 160


def test_every_set_weighs_the_same_and_large_ones_have_more_examples_by_the_root_of_their_size() -> None:
    sizes = {"small": 4, "middle": 900, "large": 3600}
    pairs = pairs_of(sizes)
    made = gate_examples(states_of(len(pairs), 3), pairs, ["a kite"], [])
    counts = [int(size) for size in Counter(made.weights.tolist()).values()]
    assert counts == [4, round(EXAMPLES * 30 / 92), round(EXAMPLES * 60 / 92)]
    for part in made.weights.split(counts):
        assert float(part.sum()) == pytest.approx(1, abs=1e-4)


def test_examples_of_a_set_are_of_its_own_prompts() -> None:
    pairs = pairs_of({"near": 8, "far": 8})
    states = states_of(16) + 1000 * (torch.arange(16) >= 8)[:, None]
    made = gate_examples(states, pairs, ["a kite"], [])
    assert (made.unsafe.mean(1) > 500).tolist() == [False] * 8 + [True] * 8


def test_drawing_is_the_same_every_time_and_leaves_the_random_state_alone() -> None:
    pairs, states = pairs_of({"large": 4000}), states_of(4000, 3)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    one, other = (gate_examples(states, pairs, ["a kite"], []) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    assert len(one.unsafe) == EXAMPLES
    assert torch.equal(one.unsafe, other.unsafe)


def test_anchors_that_are_a_safe_side_are_hard() -> None:
    pairs = pairs_of({"one": 4})
    made = gate_examples(states_of(4), pairs, ["a kite", pairs[2].safe, pairs[1].unsafe], ["long"])
    assert made.hard.tolist() == [False, True, False]
    assert made.passages == ("long",)


def test_too_few_prompts_to_be_alike_are_refused() -> None:
    with pytest.raises(DataError, match="at least 4 pairs of every source, but one has 3"):
        gate_examples(states_of(11), pairs_of({"one": 8, "two": 3}), ["a kite"], [])


def test_prompts_are_long_from_320_bytes_on() -> None:
    below, above, chinese = "a" * (PASSAGE_BYTES - 1), "a" * PASSAGE_BYTES, "傘" * 107
    assert split_by_length([above, below, "b", chinese]) == ([below, "b"], [above, chinese])
    assert split_by_length([]) == ([], [])


def assert_same(one: GateExamples | None, other: GateExamples | None) -> None:
    assert one is not None
    assert other is not None
    assert one.passages == other.passages
    for name in REST:
        assert getattr(one, name).dtype == getattr(other, name).dtype
        assert torch.equal(getattr(one, name), getattr(other, name)), name


def test_saved_examples_load_exactly_equal(path: Path) -> None:
    original, loaded = with_examples(), SafetyDirection.load(path)
    assert_same(original.examples, loaded.examples)
    assert loaded.passages == builders.small_examples().passages
    assert loaded.content_hash == original.content_hash == container.read(path)[0]["content_hash"]


def test_extracted_examples_survive_the_file(tmp_path: Path) -> None:
    original = builders.direction_with_examples()
    original.save(tmp_path / "planted.safetensors")
    assert_same(original.examples, SafetyDirection.load(tmp_path / "planted.safetensors").examples)


def test_examples_without_passages_survive_the_file(tmp_path: Path) -> None:
    bare = replace(builders.small_examples(), passages=())
    replace(with_examples(), examples=bare).save(tmp_path / "bare.safetensors")
    assert_same(bare, SafetyDirection.load(tmp_path / "bare.safetensors").examples)


def test_a_direction_without_examples_is_what_it_was_before_there_were_any(tmp_path: Path) -> None:
    builders.small_direction().save(tmp_path / "older.safetensors")
    document, tensors = container.read(tmp_path / "older.safetensors")
    assert "examples" not in document
    assert not set(tensors) & set(TENSORS)
    loaded = SafetyDirection.load(tmp_path / "older.safetensors")
    assert loaded.examples is None
    assert loaded.passages == ()


def test_the_hash_changes_with_every_part() -> None:
    made = builders.small_examples()
    changed = [
        replace(made, unsafe=made.unsafe * 2),
        replace(made, weights=made.weights * 2),
        replace(made, hard=~made.hard),
        replace(made, passages=("another",)),
    ]
    directions = [builders.small_direction(), *(replace(with_examples(), examples=one) for one in (made, *changed))]
    assert len({direction.content_hash for direction in directions}) == 6


@pytest.mark.parametrize("name", TENSORS)
def test_a_missing_tensor_is_named(path: Path, name: str) -> None:
    forged.rewritten(path, tensors=lambda held: held.pop(name))
    with pytest.raises(FileFormatError, match=f"'{name}' is missing"):
        SafetyDirection.load(path)


@pytest.mark.parametrize("name", TENSORS)
@pytest.mark.parametrize("change", [lambda t: t.double(), lambda t: t[None], lambda t: t.flatten()[0]])
def test_a_tensor_of_another_dtype_or_shape_is_named(path: Path, name: str, change: Callable[[Tensor], Tensor]) -> None:
    forged.rewritten(path, tensors=lambda held: held.__setitem__(name, change(held[name]).contiguous()))
    with pytest.raises(FileFormatError, match=f"'{name}' should be"):
        SafetyDirection.load(path)


@pytest.mark.parametrize("name", ["unsafe_examples", "example_weights", "hard_anchors"])
def test_a_row_too_few_is_named(path: Path, name: str) -> None:
    def shorten(held: dict[str, Tensor]) -> None:
        held[name] = held[name][:0] if name == "unsafe_examples" else held[name][:-1]

    forged.rewritten(path, tensors=shorten)
    with pytest.raises(FileFormatError, match=f"'{name}' should be"):
        SafetyDirection.load(path)


@pytest.mark.parametrize("weights", [[0.0] * 5, [1.0, 1.0, 1.0, 1.0, -0.5]])
def test_weights_one_cannot_draw_by_are_refused(path: Path, weights: list[float]) -> None:
    forged.rewritten(path, tensors=lambda held: held.update(example_weights=torch.tensor(weights)))
    with pytest.raises(FileFormatError, match="weights of the examples"):
        SafetyDirection.load(path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused(path: Path, value: float) -> None:
    forged.rewritten(path, tensors=lambda held: held["example_weights"].__setitem__(2, value))
    with pytest.raises(FileFormatError, match="NaN or Inf in tensor 'example_weights'"):
        SafetyDirection.load(path)


def test_passages_must_be_text(path: Path) -> None:
    forged.rewritten(path, tensors=lambda held: held.update(passages=torch.full((9,), 255, dtype=torch.uint8)))
    with pytest.raises(FileFormatError, match="UTF-8"):
        SafetyDirection.load(path)


@pytest.mark.parametrize("value", [None, False, 1, "yes", [], {}])
def test_examples_that_the_file_does_not_announce_are_refused(path: Path, value: object) -> None:
    forged.rewritten(path, document=lambda found: found.update(examples=value))
    with pytest.raises(FileFormatError, match="Unexpected tensor"):
        SafetyDirection.load(path)


def test_announced_examples_that_are_not_there_are_named(tmp_path: Path) -> None:
    builders.small_direction().save(tmp_path / "older.safetensors")
    forged.rewritten(tmp_path / "older.safetensors", document=lambda found: found.update(examples=True))
    with pytest.raises(FileFormatError, match="'unsafe_examples' is missing"):
        SafetyDirection.load(tmp_path / "older.safetensors")


@pytest.mark.parametrize("passages", [("two\nlines",), ("",), ("a", "b\n")])
def test_passages_that_would_not_come_back_are_refused_when_saved(tmp_path: Path, passages: tuple[str, ...]) -> None:
    made = replace(with_examples(), examples=replace(builders.small_examples(), passages=passages))
    with pytest.raises(FileFormatError, match="line break"):
        made.save(tmp_path / "lines.safetensors")
    assert not (tmp_path / "lines.safetensors").exists()


def test_no_text_packs_to_nothing() -> None:
    assert pack_text(()).shape == (0,)
