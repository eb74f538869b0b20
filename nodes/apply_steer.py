"""Apply Safety Steer: one node on the MODEL wire that steers the positive prompt of every sampling run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfy_api.latest import io, ui

from ..adapters.kept_text import kept_text
from ..safety_steer.errors import DataError
from . import settings
from .inputs import CATEGORY, AlignedDirectionSocket, checked_choice, report_output, search_aliases

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

    from ..safety_steer.directions.aligned import AlignedDirection

NODE_TYPE = "ApplySafetySteer"
SITES = ("conditioning", "cross-attention")


class ApplySafetySteer(io.ComfyNode):
    """Add an OUTER_SAMPLE wrapper that steers the positive conditioning, and nothing else."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="ApplySafetySteer",
            display_name="Apply Safety Steer",
            category=CATEGORY,
            **search_aliases("safety", "nsfw", "sfw", "safe", "censor", "filter", "moderation", "guard", "nudity"),
            **kept_text(),
            description="Steer generation toward safe. Put it on the MODEL wire, last before the sampler: it acts on "
            "the positive prompt of every sampler behind it. The negative prompt stays as it is.",
            inputs=[
                io.Model.Input("model", tooltip="The model to steer. LoRA and other model nodes come before this one."),
                AlignedDirectionSocket.Input(
                    "direction",
                    tooltip="The direction, fitted with Align Direction to the CLIP that encodes your prompts.",
                ),
                *settings.inputs(),
                io.Combo.Input(
                    "site",
                    options=list(SITES),
                    default=SITES[0],
                    optional=True,
                    tooltip="Where to steer. 'conditioning' steers the prompt once, before sampling: it costs nothing, works "
                    "with every model and reaches ControlNets too. 'cross-attention' steers at every step and can fade.",
                ),
                io.Float.Input(
                    "fade",
                    default=0.0,
                    min=0.0,
                    max=1.0,
                    step=0.01,
                    optional=True,
                    tooltip="For cross-attention: over how much of the sampling steering comes and goes at start_percent and "
                    "end_percent. 0 switches at once.",
                ),
                io.String.Input(
                    "blocks",
                    default="",
                    optional=True,
                    tooltip="For cross-attention in SD 1.5, SD 2, SDXL: which blocks to steer, such as 'middle, output 3-5'. "
                    "Leave it empty for all.",
                ),
                settings.preset_input(),
                settings.vision_input(),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="The model with steering. Connect it to your sampler. After sampling, this node shows what "
                    "was done to the prompt.",
                ),
                report_output(later=True),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def fingerprint_inputs(cls, **_: Any) -> str:
        """Watch the run that asks; ComfyUI does so before each one, also when it has this node's outputs, which stay valid."""
        from ..adapters.sampling import unasked

        unasked.watch_run()
        return ""

    @classmethod
    def execute(
        cls,
        model: ModelPatcher,
        direction: AlignedDirection,
        site: str = SITES[0],
        fade: float = 0.0,
        blocks: str = "",
        vision_direction: AlignedDirection | None = None,
        **values: Any,
    ) -> io.NodeOutput:
        """Return a clone of the model that steers; the model itself is not changed."""
        from ..adapters import node_text, run_log
        from ..adapters.sampling import cross_attention, steer_runs, unasked, unet_blocks
        from ..adapters.sampling.fade_curve import Curve
        from ..adapters.sampling.pictures import chosen

        steering, window = settings.read(**values)
        checked_choice("site", site, SITES, "Apply Safety Steer")
        of_text, of_pictures = chosen(direction, vision_direction, "Apply Safety Steer")
        if of_pictures is not None and site != SITES[0]:
            raise DataError("Pictures are steered before sampling. Set site to 'conditioning' on Apply Safety Steer.")
        node_id, line = cls.hidden.unique_id, settings.sentence(steering, window)
        log = run_log.RunLog(direction, line, during_sampling=True)
        unasked.watch_run()
        patched = model.clone()

        def say(text: str) -> None:
            node_text.show(node_id, unasked.with_notices(node_id, text), NODE_TYPE)

        if site == SITES[0]:
            steer_runs.at_conditioning(patched, of_text, steering, window, say, log, of_pictures)
        else:
            layer = cross_attention.Layer(Curve(window, fade), unet_blocks.read(blocks))
            steer_runs.at_cross_attention(patched, direction, steering, layer, say, log)
        return io.NodeOutput(patched, log, ui=ui.PreviewText(f"{line}. What it did appears here after sampling."))
