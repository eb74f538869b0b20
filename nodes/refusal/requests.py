"""Refuse Unsafe Requests: a CLIP that writes text, and refuses when what it is asked for is unsafe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfy_api.latest import io

from ...adapters import folders
from ..inputs import CATEGORY, search_aliases

if TYPE_CHECKING:
    from comfy.sd import CLIP

NONE_YET = "none yet: make one first"  # an empty list would be an error that says nothing
MAX_FACTOR = 4.0  # by hand, and part of saved workflows


class RefuseUnsafeRequests(io.ComfyNode):
    """Put a refusal file onto a clone of a CLIP."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="RefuseUnsafeRequests",
            display_name="Refuse Unsafe Requests",
            category=CATEGORY,
            **search_aliases("safety", "refusal", "prompt enhancer", "guardrail", "autosteer", "generate text"),
            description="Make the language model behind Generate Text refuse unsafe requests. Put it on the CLIP wire in "
            "front of Generate Text or Generate LTX2 Prompt. What it writes for harmless requests stays the same.",
            inputs=[
                io.Clip.Input("clip", tooltip="The CLIP that writes the text. It is not changed: the node gives a clone."),
                io.Combo.Input(
                    "refusal_name",
                    options=folders.refusal_names() or [NONE_YET],
                    tooltip="A file in models/safety_refusals, made for this very model by the command safety-steer refuse "
                    "train.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=MAX_FACTOR,
                    step=0.05,
                    tooltip="How strongly to refuse. 1 is what the file was trained for, 0 is off. Much more than 1 makes "
                    "broken text.",
                ),
                io.Float.Input(
                    "threshold",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    tooltip="From which score, 0 to 1, a request counts as unsafe. Lower refuses more. 0 takes the file's own.",
                ),
            ],
            outputs=[
                io.Clip.Output(
                    display_name="clip",
                    tooltip="The CLIP that refuses. Connect it to Generate Text. It encodes prompts as before.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, clip: CLIP, refusal_name: str, strength: float, threshold: float) -> io.NodeOutput:
        """Return the clone; what it decides is shown on the node when text is written."""
        from ...adapters import node_text
        from ...adapters.clip.refusal import refusing
        from ...safety_steer.refusal.head import RefusalHead

        head = RefusalHead.load(folders.refusal_path(refusal_name))
        node = cls.hidden.unique_id

        def tell(score: float, refused: bool) -> None:
            limit = threshold or head.threshold
            done = "refused" if refused else "answered"
            node_text.show(node, f"request {done}: score {score:.3f}, refused from {limit:.3f}", "RefuseUnsafeRequests")

        made = refusing(clip, head, strength * head.strength, threshold or head.threshold, tell)
        return io.NodeOutput(made)

    @classmethod
    def validate_inputs(cls, refusal_name: str | None = None) -> bool | str:
        """Say what to do when the chosen file is not there; one that comes over a wire is None here, and checked later."""
        if refusal_name is None or refusal_name in folders.refusal_names():
            return True
        return folders.no_refusal(str(refusal_name))

    @classmethod
    def fingerprint_inputs(cls, refusal_name: str, **_: object) -> str:
        """Change when the file changes, so that ComfyUI loads it again."""
        return folders.fingerprint(folders.refusal_path(refusal_name)) if refusal_name in folders.refusal_names() else ""
