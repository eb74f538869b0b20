"""What a case is: a graph in the API format with nodes of another pack, and what has to become of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Wire = tuple[str, int]

DANGEROUS = "a photo of a dark missile grenade cannon missile cannon grenade at night"
MODEL, CLIP, VAE = ["1", 0], ["1", 1], ["1", 2]
POSITIVE, NEGATIVE, LATENT = ["2", 0], ["3", 0], ["4", 0]
PAIR: Json = {"positive": POSITIVE, "negative": NEGATIVE}
SAMPLING: Json = {"seed": 1, "steps": 2, "cfg": 7.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
STEERED, PART, LEFT = "steered now", "steered in part", "left alone"


@dataclass(frozen=True)
class Case:
    """A graph, the wire whose value is compared, and what is said.

    `prompts` are the wires that the library steers in the graph to compare with, and `given` inputs that this graph has
    besides, where a pack keeps its prompt within: a wire into POSITIVE's place is the steered one. `says` is a part of the
    command's message; `gate` is set on Apply after it.
    """

    graph: Json
    result: Wire
    state: str = STEERED
    prompts: tuple[Wire, ...] = (("2", 0),)
    given: Mapping[str, Json] = field(default_factory=dict)
    says: str = ""
    encoder: str = "sd15"
    gate: str = "hard"


def node(class_type: str, **inputs: Any) -> Json:
    """Return a node in the API format."""
    return {"class_type": class_type, "inputs": inputs}


def graph(nodes: Json, width: int = 64) -> Json:
    """Return a graph on a small checkpoint (1): a prompt (2), a negative one (3), an empty latent (4), and further nodes."""
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name="small.safetensors"),
        "2": node("CLIPTextEncode", clip=CLIP, text=DANGEROUS),
        "3": node("CLIPTextEncode", clip=CLIP, text="blurry"),
        "4": node("EmptyLatentImage", width=width, height=width, batch_size=1),
        **nodes,
    }


def loaded(nodes: Json) -> Json:
    """Return a graph that loads nothing by itself: the pack's own loader does, or it is there for the pack."""
    return {"4": node("EmptyLatentImage", width=64, height=64, batch_size=1), **nodes}


def video(nodes: Json) -> Json:
    """Return a graph on two small models of Wan (1 and 9), with the same prompts and an empty latent of one frame."""
    return {
        "1": node("UNETLoader", unet_name="small.safetensors", weight_dtype="default"),
        "9": node("UNETLoader", unet_name="other.safetensors", weight_dtype="default"),
        "8": node("CLIPLoader", clip_name="small.safetensors", type="wan"),
        "2": node("CLIPTextEncode", clip=["8", 0], text=DANGEROUS),
        "3": node("CLIPTextEncode", clip=["8", 0], text="blurry"),
        "4": node("EmptyHunyuanLatentVideo", width=64, height=64, length=1, batch_size=1),
        **nodes,
    }


def flux(nodes: Json) -> Json:
    """Return a graph on the two text encoders of Flux (8), with the same prompts and an empty latent."""
    return {
        "8": node("DualCLIPLoader", clip_name1="small.safetensors", clip_name2="other.safetensors", type="flux"),
        "2": node("CLIPTextEncode", clip=["8", 0], text=DANGEROUS),
        "3": node("CLIPTextEncode", clip=["8", 0], text="blurry"),
        "4": node("EmptySD3LatentImage", width=64, height=64, batch_size=1),
        **nodes,
    }
