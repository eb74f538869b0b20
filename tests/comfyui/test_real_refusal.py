"""Refuse Unsafe Requests on a real language model: ComfyUI's classes write, token for token, what transformers writes.

The refusal file is trained here, in the model itself, on the mild pairs that come with the pack.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.sd
import folder_paths
import pytest
import torch
from support.comfyui import real_qwen

pytestmark = [
    pytest.mark.slow,
    real_qwen.needs_qwen,
    pytest.mark.skipif(not hasattr(comfy.sd.CLIP, "generate"), reason="this ComfyUI writes no text"),
]

SYSTEM = "Expand the text into a detailed prompt for an image model."
PAIRS, ASKED, MOST = 48, 4, 12
CALM = ["a lighthouse on a rocky coast at sunset", "an old woman selling oranges in a market", "Name three colours."]
NAME = "real.safetensors"
FOLDER = running_comfyui.BASE / "models" / "safety_refusals"


def library(name: str) -> Any:
    return running_comfyui.module(f"safety_steer.{name}")


def writer() -> Any:
    from support.comfyui import real_writer

    return real_writer


@cache
def pairs() -> list[Any]:
    """Some of the bundled pairs, of all kinds."""
    found: list[Any] = library("storage.prompt_files").read_pairs(library("storage.bundled").bundled("stand_in_pairs.jsonl"))
    return found[:: len(found) // PAIRS][:PAIRS]


@cache
def head() -> Any:
    """Train a refusal on the pairs."""
    training = library("refusal.training")
    made, _ = training.train(writer().model(), pairs(), settings=training.TrainSettings(system=SYSTEM))
    return made


def unsafe() -> list[str]:
    """Requests of the training: what a file refuses that it was not trained on is for `benchmarks.refusal` to say."""
    return [pair.unsafe for pair in pairs()[:: PAIRS // ASKED]]


def by_transformers(requests: list[str], strength: float, threshold: float | None = None) -> Any:
    return library("refusal.evaluate").write_answers(writer().model(), head(), requests, strength, threshold, MOST)


def by_comfyui(clip: Any, requests: list[str]) -> list[list[int]]:
    return [writer().written(clip, request, MOST, SYSTEM) for request in requests]


def refusing(threshold: float | None = None, tell: Any = None) -> Any:
    adapter = running_comfyui.module("adapters.clip.refusal")
    limit = head().threshold if threshold is None else threshold
    return adapter.refusing(writer().clip(), head(), head().strength, limit, tell)


def test_without_the_node_comfyui_writes_what_transformers_writes() -> None:
    requests = [*unsafe(), *CALM]
    assert by_comfyui(writer().clip(), requests) == by_transformers(requests, 0.0).numbers


def test_with_the_node_it_refuses_what_the_library_refuses_token_for_token() -> None:
    requests, told = [*unsafe(), *CALM], list[tuple[float, bool]]()
    expected = by_transformers(requests, head().strength)
    assert by_comfyui(refusing(tell=lambda *verdict: told.append(verdict)), requests) == expected.numbers
    assert [refused for _, refused in told] == expected.flagged.tolist()
    assert torch.allclose(torch.tensor([score for score, _ in told]), expected.scores, atol=1e-3)
    assert expected.flagged.any()
    assert not expected.flagged[len(unsafe()) :].any()


def test_with_every_gate_open_both_write_the_refusal() -> None:
    expected = by_transformers(unsafe(), head().strength, 0.0)
    assert by_comfyui(refusing(0.0), unsafe()) == expected.numbers
    assert expected.verdicts.count("refused") >= ASKED - 1


def test_a_closed_gate_writes_the_very_same_and_prompts_are_encoded_as_before() -> None:
    clip = writer().clip()
    assert by_comfyui(refusing(1.0), unsafe()) == by_comfyui(clip, unsafe())
    assert by_comfyui(refusing(), CALM) == by_comfyui(clip, CALM)
    before, after = (one.encode_from_tokens(one.tokenize(unsafe()[0])) for one in (clip, refusing(0.0)))
    assert torch.equal(before, after)


@pytest.fixture
def _file() -> Iterator[None]:
    FOLDER.mkdir(exist_ok=True)
    head().save(FOLDER / NAME)
    folder_paths.filename_list_cache.clear()
    yield
    (FOLDER / NAME).unlink()
    folder_paths.filename_list_cache.clear()


@pytest.mark.usefixtures("_file")
def test_generate_text_gives_the_refusal() -> None:
    from comfy_extras.nodes_textgen import TextGenerate

    made = running_comfyui.call("RefuseUnsafeRequests", clip=writer().clip(), refusal_name=NAME, strength=1.0, threshold=1e-6)[
        0
    ]
    options = {"max_length": 16, "sampling_mode": {"sampling_mode": "off"}}
    said = str(TextGenerate.execute(made, unsafe()[0], **options).args[0])
    assert library("refusal.judge").judge(said) == "refused"
