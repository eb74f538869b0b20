"""A planted CLIP vision for the tests: what it says of harmless and of unsafe pictures, and a direction fitted to it.

Harmless pictures lie around a middle, unsafe ones lie apart from it in one way that the direction's source knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from . import running_comfyui  # isort: skip
import comfy.clip_vision
import torch

LATENT, SOURCE, COUNT, PATCHES = 10, 16, 256, 5
# As wide as generators want them: HunyuanVideo 1.5 and Redux the last states, Wan the penultimate, unCLIP the embedding.
WIDTHS = {"last_hidden_state": 1152, "penultimate_hidden_states": 1280, "image_embeds": 768}


def noise(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


SHIFT = 6 * torch.nn.functional.normalize(noise(LATENT, seed=1), dim=0)


def latents(count: int, unsafe: bool, seed: int) -> torch.Tensor:
    """Return what pictures show, as points; those of harmless ones that are judged lie near the middle."""
    return noise(count, LATENT, seed=seed) * (1.0 if unsafe else 0.2) - (SHIFT if unsafe else 0)


def output(shown: torch.Tensor, seed: int = 0, widths: Mapping[str, int] = WIDTHS) -> Any:
    """Return what CLIP vision says of pictures, in ComfyUI's own class."""
    made = comfy.clip_vision.Output()
    for number, (name, width) in enumerate(widths.items()):
        view, middle = noise(LATENT, width, seed=20 + number), noise(width, seed=30 + number)
        if name == "image_embeds":
            made[name] = shown @ view + middle + 0.05 * noise(len(shown), width, seed=seed)
        else:
            patches = shown[:, None] + 0.3 * noise(len(shown), PATCHES, LATENT, seed=seed)
            made[name] = patches @ view + middle + 0.05 * noise(len(shown), PATCHES, width, seed=seed)
    made["image_sizes"] = [(3, 64, 64)] * len(shown)
    made["mm_projected"] = None
    return made


def harmless(count: int = 1) -> Any:
    return output(latents(count, unsafe=False, seed=5), seed=5)


def unsafe(count: int = 1) -> Any:
    return output(latents(count, unsafe=True, seed=6), seed=6)


@cache
def source() -> Any:
    """Return a direction of a source that sees the same points."""
    view = torch.linalg.qr(noise(SOURCE, LATENT, seed=2)).Q.T
    safe = noise(96, LATENT, seed=3)
    pair = running_comfyui.module("safety_steer.storage.prompt_files").Pair
    return running_comfyui.module("safety_steer.extraction.extract_direction").fit_direction(
        source=running_comfyui.module("safety_steer.directions.source").ModelIdentity("planted", "test", SOURCE, 1),
        layers=(1,),
        pooling="mean",
        estimator="mean",
        pairs=[pair(f"kite {number}", f"sword {number}", "weapons") for number in range(len(safe))],
        anchors=[f"a drawing of thing {number}" for number in range(COUNT)],
        activations=(safe @ view, (safe - SHIFT) @ view, noise(COUNT, LATENT, seed=4) @ view),
        report={},
    )


@cache
def aligned() -> Any:
    """Return that direction fitted to the planted CLIP vision, with harmless pictures of what its anchors say."""
    seen = output(noise(COUNT, LATENT, seed=4), seed=7)
    taken = running_comfyui.module("safety_steer.directions.vision_spaces").take(seen)
    batch = {name: list(part if part.ndim == 3 else part[:, None]) for name, part in taken.items()}
    states = running_comfyui.module("safety_steer.alignment.anchors").collect([batch], COUNT)
    align = running_comfyui.module("safety_steer.alignment.vision").align_pictures
    return align(source(), source().anchors, source().anchor_activations.float(), states, "planted vision")


def by_library(said: Any, **settings: Any) -> Any:
    """Steer what CLIP vision says with the library alone."""
    library = running_comfyui.module("safety_steer.steering.steer_conditioning")
    tensors = {name: getattr(said, name) for name in WIDTHS}
    outcome = library.steer_conditioning(tensors, aligned(), library.SteerSettings(**settings))
    made = comfy.clip_vision.Output()
    made.__dict__.update(said.__dict__)
    made.__dict__.update(outcome.tensors)
    return made


def through_node(said: Any, **settings: Any) -> Any:
    """Steer what CLIP vision says with the node for its wire."""
    inputs = {"direction": aligned(), "strength": 1.0, "operator": "erase", "gate": "hard", "preserve_norm": False, **settings}
    return running_comfyui.call("ApplySafetySteerVisionOutput", clip_vision_output=said, **inputs)[0]
