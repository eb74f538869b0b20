"""Apply Safety Steer: one node on the MODEL wire that steers the positive prompt of every sampling run."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from comfy.patcher_extension import WrapperExecutor, WrappersMP
from comfy_api.latest import io, ui

from ..safety_steer.aligned import AlignedDirection
from ..safety_steer.apply import SteerSettings
from ..safety_steer.errors import MismatchError
from . import report, settings
from .entries import steer_entries
from .sockets import CATEGORY, AlignedDirectionSocket

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

WRAPPER_KEY = "safety_steer"


class ApplySafetySteer(io.ComfyNode):
    """Add an OUTER_SAMPLE wrapper that steers the positive conditioning, and nothing else."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        """Describe the node to ComfyUI."""
        return io.Schema(
            node_id="ApplySafetySteer",
            display_name="Apply Safety Steer",
            category=CATEGORY,
            description="Steer generation toward safe. Put it on the MODEL wire, last before the sampler: it acts on "
            "the positive prompt of every sampler behind it. The negative prompt stays as it is.",
            inputs=[
                io.Model.Input("model", tooltip="The model to steer. LoRA and other model nodes come before this one."),
                AlignedDirectionSocket.Input(
                    "direction",
                    tooltip="The direction, fitted with Align Direction to the CLIP that encodes your prompts.",
                ),
                *settings.inputs(),
            ],
            outputs=[
                io.Model.Output(
                    display_name="model",
                    tooltip="The model with steering. Connect it to your sampler. After sampling, this node shows what "
                    "was done to the prompt.",
                ),
            ],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    def execute(cls, model: ModelPatcher, direction: AlignedDirection, **values: Any) -> io.NodeOutput:
        """Return a clone of the model that steers; the model itself is not changed."""
        steering, window = settings.read(**values)
        patched = model.clone()
        patched.add_wrapper_with_key(
            WrappersMP.OUTER_SAMPLE, WRAPPER_KEY, steer_positive(direction, steering, window, cls.hidden.unique_id)
        )
        line = settings.sentence(steering, window)
        return io.NodeOutput(patched, ui=ui.PreviewText(f"{line}. What it did appears here after sampling."))


def steer_positive(
    direction: AlignedDirection, steering: SteerSettings, window: settings.Window, node_id: str | None
) -> Callable[..., Any]:
    """Return the wrapper: it replaces the positive entries of one sampling run, which ComfyUI drops after the run."""

    def wrapper(executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Any:
        conds = executor.class_obj.conds
        if "positive" not in conds:
            raise MismatchError(
                f"The guider {type(executor.class_obj).__name__} has no positive conditioning to steer. Use a sampler "
                "or guider with a positive input, or Apply Safety Steer (Conditioning) on the conditioning."
            )
        conds["positive"], outcomes = steer_entries(conds["positive"], direction, steering, window)
        report.show(node_id, report.describe(outcomes, direction))
        return executor(*args, **kwargs)

    return wrapper
