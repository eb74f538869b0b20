"""Load Demo Generator: the embedded generators of cartoon scenes, as MODEL, CLIP, VAE and CLIP_VISION."""

from __future__ import annotations

import os

from comfy_api.latest import io

from ..safety_steer.demo_world import GENERATORS
from .inputs import CATEGORY, checked_choice, search_aliases

PARTS = ("autoencoder", "embedding", "picture-reader")  # of every generator


class LoadDemoGenerator(io.ComfyNode):
    """Load one of the bundled generators and the text model it reads."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="LoadDemoGenerator",
            display_name="Load Demo Generator",
            category=CATEGORY,
            **search_aliases("safety", "example model", "tiny model", "test model"),
            description="Load a small generator of cartoon scenes that comes with Safety Steer, to try steering without "
            "downloading a model. It draws 64 x 64 pixels, in seconds and on any computer.",
            inputs=[
                io.Combo.Input(
                    "generator",
                    options=list(GENERATORS),
                    default="image",
                    tooltip="'image' draws pictures and 'video' draws 8 frames; both read all-MiniLM-L6-v2. "
                    "'image-smollm2' draws pictures and reads SmolLM2-135M. 'image-from-picture' and 'video-from-picture' "
                    "read no text and draw new pictures, or a video, of the scene that a picture shows: encode one with CLIP "
                    "Vision Encode, and add it to an empty prompt with unCLIPConditioning.",
                ),
            ],
            outputs=[
                io.Model.Output(
                    display_name="MODEL",
                    tooltip="The generator. It likes 16 steps of euler with the simple scheduler, and a cfg of 3.",
                ),
                io.Clip.Output(
                    display_name="CLIP", tooltip="The text model the generator reads. Connect it to Align Direction too."
                ),
                io.Vae.Output(display_name="VAE", tooltip="Turns latents into pictures and back."),
                io.ClipVision.Output(
                    display_name="CLIP_VISION",
                    tooltip="Looks at pictures for 'image-from-picture' and 'video-from-picture'. Connect it to CLIP Vision "
                    "Encode.",
                ),
            ],
        )

    @classmethod
    def execute(cls, generator: str) -> io.NodeOutput:
        """Load weights and text model, and hand them to ComfyUI's memory management."""
        checked_choice("generator", generator, GENERATORS, "Load Demo Generator")
        # Here and not above: most people who start ComfyUI never ask for the demo.
        from ..adapters.demo.clip import make_clip
        from ..adapters.demo.clip_vision import DemoClipVision
        from ..adapters.demo.model import make_model
        from ..adapters.demo.vae import make_vae
        from ..safety_steer.demo_world.pictures import load_eyes
        from ..safety_steer.demo_world.sampling import load_generator

        loaded = load_generator(generator)
        parts = make_model(loaded), make_clip(loaded), make_vae(loaded.autoencoder, loaded.video)
        return io.NodeOutput(*parts, DemoClipVision(load_eyes()))

    @classmethod
    def fingerprint_inputs(cls, generator: str) -> str:
        """Change when the weights change, so that ComfyUI loads them again."""
        from ..safety_steer.demo_world.sampling import SHARED
        from ..safety_steer.demo_world.weights import weights_path

        paths = [weights_path(name) for name in (*PARTS, SHARED.get(generator, generator)) if generator in GENERATORS]
        found = [os.stat(path) for path in paths if path.is_file()]
        return " ".join(f"{status.st_size}-{status.st_mtime_ns}" for status in found)
