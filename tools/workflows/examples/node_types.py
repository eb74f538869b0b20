"""What the nodes of the examples look like: their inputs in order, with defaults, and their outputs.

Those of this pack come from safety_steer/workflow/pack_nodes.json, those of ComfyUI from the table below.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from safety_steer.workflow.pack_nodes import PACK, PACK_NODES, OwnNode
from tools.docs.write_pack_nodes import WIDGETS

SEEDS = {"seed", "noise_seed"}
DYNAMIC = "COMFY_DYNAMICCOMBO_V3"  # a choice that has further widgets; "off" has none


@dataclass(frozen=True)
class Input:
    """An input: a socket, or a widget with its default; `optional` sockets may stay open."""

    name: str
    kind: str
    default: Any = None
    optional: bool = False

    @property
    def is_widget(self) -> bool:
        """Whether the value is typed or chosen on the node."""
        return self.kind in (*WIDGETS, DYNAMIC)


@dataclass(frozen=True)
class NodeType:
    """The inputs of a node, and its outputs as pairs of name and kind."""

    inputs: tuple[Input, ...]
    outputs: tuple[tuple[str, str], ...]
    pack: str = "comfy-core"


def _stock(inputs: str, outputs: str = "", **widgets: Any) -> NodeType:
    """Describe a node of ComfyUI: sockets as "name KIND, name KIND?", outputs as "NAME KIND", and widgets with defaults.

    An output of one word is called what it is.
    """
    sockets = [part.split() for part in inputs.split(", ") if part]
    made = [Input(name, kind.rstrip("?"), optional=kind.endswith("?")) for name, kind in sockets]
    kinds = {bool: "BOOLEAN", int: "INT", float: "FLOAT"}
    named = {**dict.fromkeys(("text", "filename_prefix", "prompt", "value"), "STRING"), "sampling_mode": DYNAMIC}
    for name, value in widgets.items():
        made.append(Input(name, kinds.get(type(value), named.get(name, "COMBO")), value))
    found = [part.split() for part in outputs.split(", ") if part]
    return NodeType(tuple(made), tuple((part[0], part[-1]) for part in found))


SAMPLING = "model MODEL, positive CONDITIONING, negative CONDITIONING, latent_image LATENT"
SIZE = {"width": 512, "height": 512}
STOCK = {
    "CheckpointLoaderSimple": _stock("", "MODEL, CLIP, VAE", ckpt_name=""),
    "UNETLoader": _stock("", "MODEL", unet_name="", weight_dtype="default"),
    "CLIPLoader": _stock("", "CLIP", clip_name="", type="wan", device="default"),
    "VAELoader": _stock("", "VAE", vae_name=""),
    "CLIPVisionLoader": _stock("", "CLIP_VISION", clip_name=""),
    "LoadImage": _stock("", "IMAGE, MASK", image="example.png"),
    "CLIPTextEncode": _stock("clip CLIP", "CONDITIONING", text=""),
    "CLIPVisionEncode": _stock("clip_vision CLIP_VISION, image IMAGE", "CLIP_VISION_OUTPUT", crop="center"),
    "unCLIPConditioning": _stock(
        "conditioning CONDITIONING, clip_vision_output CLIP_VISION_OUTPUT", "CONDITIONING", strength=1.0, noise_augmentation=0.0
    ),
    "EmptyLatentImage": _stock("", "LATENT", **SIZE, batch_size=1),
    "EmptyHunyuanLatentVideo": _stock("", "LATENT", **SIZE, length=33, batch_size=1),
    "WanImageToVideo": _stock(
        "positive CONDITIONING, negative CONDITIONING, vae VAE, clip_vision_output CLIP_VISION_OUTPUT?, start_image IMAGE?",
        "positive CONDITIONING, negative CONDITIONING, latent LATENT",
        **SIZE,
        length=33,
        batch_size=1,
    ),
    "ModelSamplingSD3": _stock("model MODEL", "MODEL", shift=3.0),
    "KSampler": _stock(SAMPLING, "LATENT", seed=1, steps=20, cfg=8.0, sampler_name="euler", scheduler="simple", denoise=1.0),
    "KSamplerAdvanced": _stock(
        SAMPLING,
        "LATENT",
        add_noise="enable",
        noise_seed=1,
        steps=20,
        cfg=8.0,
        sampler_name="euler",
        scheduler="simple",
        start_at_step=0,
        end_at_step=10000,
        return_with_leftover_noise="disable",
    ),
    "VAEDecode": _stock("samples LATENT, vae VAE", "IMAGE"),
    "VAEEncode": _stock("pixels IMAGE, vae VAE", "LATENT"),
    "ImageScale": _stock("image IMAGE", "IMAGE", upscale_method="lanczos", **SIZE, crop="center"),
    "ImageScaleBy": _stock("image IMAGE", "IMAGE", upscale_method="nearest-exact", scale_by=4.0),
    "SaveImage": _stock("images IMAGE", filename_prefix="SafetySteer"),
    "PreviewImage": _stock("images IMAGE"),
    "PrimitiveStringMultiline": _stock("", "STRING", value=""),
    "TextGenerate": _stock(
        "clip CLIP, image IMAGE?, video IMAGE?, audio AUDIO?",
        "generated_text STRING",
        prompt="",
        max_length=256,
        sampling_mode="off",
        thinking=False,
        use_default_template=True,
    ),
    "PreviewAny": _stock("source *"),
    "CreateVideo": _stock("images IMAGE, audio AUDIO?", "VIDEO", fps=16.0),
    "SaveVideo": _stock("video VIDEO", filename_prefix="video/SafetySteer", format="auto", codec="auto"),
}


def _own(node: OwnNode) -> NodeType:
    """Return one of this pack's nodes."""
    return NodeType(tuple(Input(one.name, one.kind, one.value, one.optional) for one in node.inputs), node.outputs, PACK)


def node_type(name: str) -> NodeType:
    """Return what a node looks like."""
    return STOCK[name] if name in STOCK else _own(PACK_NODES[name])
