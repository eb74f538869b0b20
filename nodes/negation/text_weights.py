"""Negate Unsafe Weights: turn the sign of the weights of a text encoder that answer to unsafe prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io, ui

from ...adapters import folders
from ...adapters.kept_text import kept_text
from ...safety_steer.errors import EncoderError
from ...safety_steer.storage.bundled import STAND_INS
from ..inputs import CATEGORY, search_aliases
from . import inputs as shared

if TYPE_CHECKING:
    from comfy.sd import CLIP

NODE = "Negate Unsafe Weights"


class NegateUnsafeWeights(io.ComfyNode):
    """Patch a clone of a CLIP, by pairs or by a patch file."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="NegateUnsafeWeights",
            display_name=NODE,
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "sfw", "unlearn", "unsafe weights manipulation", "uwm"),
            **kept_text(),
            description="Turn the sign of the weights of a text encoder that answer most to unsafe prompts. It changes every "
            "prompt a little, harmless ones too: Apply Safety Steer does not. Needs pairs of your own, or a patch file.",
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP that encodes your prompts. It is not changed: a copy comes out."),
                io.Combo.Input(
                    "source",
                    options=sources(),
                    default=STAND_INS,
                    tooltip="A file of pairs in models/safety_pairs (JSON lines or CSV with safe, unsafe and category), "
                    "which is read now. Or a patch in models/safety_patches, made with safety-steer negate.",
                ),
                *shared.settings(shared.ATTENTION, weighted=True),
            ],
            outputs=[
                io.Clip.Output(
                    display_name="clip",
                    tooltip="The CLIP with its weights negated. Connect it where the other one was, LoRAs before or after.",
                ),
                shared.text_output(),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(
        cls,
        clip: CLIP,
        source: str,
        strength: float = 1.0,
        tau: float = shared.TAU,
        layers: str = shared.ATTENTION,
        scores: str = shared.WEIGHTED,
    ) -> io.NodeOutput:
        """Return a patched clone, and list what was negated."""
        import comfy.utils

        from ...adapters import negated_weights, node_text
        from ...adapters.clip import read_pairs
        from ...adapters.clip.encode_prompts import encoder_name
        from ...adapters.progress import moving
        from ...safety_steer.negation.models import spread_out
        from ...safety_steer.negation.patch import WeightPatch
        from ...safety_steer.negation.report import described
        from ...safety_steer.storage import prompt_files

        if clip is None:
            raise EncoderError(f"The clip input of {NODE} is empty: this checkpoint file has no text encoder. Load one first.")
        shared.check(layers, scores, NODE)
        if source.lower().endswith(".safetensors"):
            patch = WeightPatch.load(folders.patch_path(source))
        else:
            pairs = spread_out(prompt_files.read_pairs(folders.pair_path(source)))
            bar = comfy.utils.ProgressBar(len(pairs))
            patch = read_pairs.choose(clip, pairs, layers, tau, scores == shared.WEIGHTED, moving(bar))
        changed = clip.clone()
        negated_weights.add(changed.patcher, patch, strength)
        text = described(patch, encoder_name(clip), strength)
        node_text.show(cls.hidden.unique_id, text)
        return io.NodeOutput(changed if strength else clip, text, ui=ui.PreviewText(text))

    @classmethod
    def fingerprint_inputs(cls, source: str, **_: object) -> str:
        """Change when the file changes, so that ComfyUI reads it again."""
        if source in folders.patch_names():
            return folders.fingerprint(folders.patch_path(source))
        return folders.fingerprint(folders.pair_path(source)) if source in folders.pair_names() else ""


def sources() -> list[str]:
    """List the files of pairs, and then the patches."""
    return [*folders.pair_names(), *folders.patch_names()]
