"""Apply Safety Steer: one node on the MODEL wire that steers the positive prompt of every sampling run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from comfy.patcher_extension import WrapperExecutor, WrappersMP
from comfy_api.latest import io, ui

from ..adapters import node_text, run_log
from ..adapters.kept_text import kept_text
from ..adapters.sampling import answers, cross_attention, step_windows, unet_blocks
from ..adapters.sampling.entries import Steer, each_with_text, sharing, steer_copies, steer_entries, steer_text
from ..adapters.sampling.fade_curve import Curve
from ..adapters.sampling.pictures import (
    Pictures,
    chosen,
    require_pictures_alone,
    steer_known_pictures,
    steer_pictures_of,
)
from ..adapters.sampling.step_windows import Entry, Window
from ..safety_steer.directions.aligned import AlignedDirection
from ..safety_steer.errors import DataError, MismatchError
from ..safety_steer.steering.steer_conditioning import Outcome, SteerSettings
from . import settings
from .inputs import CATEGORY, AlignedDirectionSocket, checked_choice, report_output, search_aliases

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

Replace = Callable[[Sequence[Entry]], tuple[list[Entry], list[Outcome]]]

NODE_TYPE = "ApplySafetySteer"
WRAPPER_KEY = "safety_steer"
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
        steering, window = settings.read(**values)
        checked_choice("site", site, SITES, "Apply Safety Steer")
        of_text, of_pictures = chosen(direction, vision_direction, "Apply Safety Steer")
        if of_pictures is not None and site != SITES[0]:
            raise DataError("Pictures are steered before sampling. Set site to 'conditioning' on Apply Safety Steer.")
        patched = model.clone()
        if of_text is None:
            replace = follow = _as_they_are
        elif site == SITES[0]:
            replace, follow = (steer_positive(direction, steering, window, steer) for steer in (steer_text, steer_copies))
        else:
            layer = cross_attention.Layer(Curve(window, fade), unet_blocks.read(blocks))
            bit = cross_attention.attach(patched, layer)
            replace, follow = (attach_to_positive(direction, steering, bit, steer) for steer in (steer_text, steer_copies))
        cuts = site == SITES[0] and not window.whole
        if cuts and not patched.get_wrappers(WrappersMP.SAMPLER_SAMPLE, step_windows.KEY):
            patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, step_windows.KEY, _restore)
        answers.attach(patched)
        line = settings.sentence(steering, window)
        log = run_log.RunLog(direction, line, during_sampling=True)
        used = run_log.any_step(window)
        steer_pictures = _steering_of_pictures(of_pictures, steering, window, alone=of_text is None)
        wrapper = _wrapper(replace, follow, steer_pictures, of_text, cls.hidden.unique_id, log, used, cuts=used and cuts)
        patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, WRAPPER_KEY, wrapper)
        return io.NodeOutput(patched, log, ui=ui.PreviewText(f"{line}. What it did appears here after sampling."))


def steer_positive(direction: AlignedDirection, steering: SteerSettings, window: Window, steer: Steer = steer_text) -> Replace:
    """Return how the conditioning site replaces positive entries: by steered ones, for the steps of the window."""
    cut = partial(step_windows.cut_family, window=window)
    return partial(steer_entries, direction=direction, settings=steering, cut=cut, steer=steer)


def attach_to_positive(direction: AlignedDirection, steering: SteerSettings, bit: int, steer: Steer = steer_text) -> Replace:
    """Return how the cross-attention site replaces them: by ones that carry the steered text every step moves toward."""
    within = cross_attention.within_reach(direction)

    def act(entry: Entry) -> tuple[list[Entry], Outcome]:
        carrying, outcome = cross_attention.attach_steered_text(entry, bit, within, steering, steer)
        return [carrying], outcome

    return partial(each_with_text, act=act)


def _as_they_are(entries: Sequence[Entry]) -> tuple[list[Entry], list[Outcome]]:
    """Leave all entries alone, where a direction for pictures alone is given."""
    return list(entries), []


def _steering_of_pictures(
    direction: AlignedDirection | None, steering: SteerSettings, window: Window, alone: bool
) -> Callable[[dict[str, list[Entry]]], Pictures | None]:
    """Return what steers the pictures of a sampling run in all its roles, and says what it did; `alone` without text."""

    def steer(conds: dict[str, list[Entry]]) -> Pictures | None:
        if direction is None:
            return None
        if alone:
            require_pictures_alone(conds["positive"], direction)
        pictures, cut = Pictures(direction, steering), partial(step_windows.cut_family, window=window)
        conds["positive"] = steer_pictures_of(conds["positive"], pictures, cut)
        for role in (role for role in conds if role != "positive"):
            conds[role] = steer_known_pictures(conds[role], pictures, cut)
        return pictures

    return steer


def _wrapper(
    replace: Replace,
    follow: Replace,
    steer_pictures: Callable[[dict[str, list[Entry]]], Pictures | None],
    direction: AlignedDirection | None,
    node_id: str | None,
    log: run_log.RunLog,
    used: bool,
    cuts: bool,
) -> Callable[..., Any]:
    """Return the OUTER_SAMPLE wrapper: it replaces the positive entries of one sampling run, which ComfyUI drops after it.

    `follow` replaces entries of other roles that carry text of the positive, `steer_pictures` what came in as a picture. What
    was done goes to the log once the run is done; not `used` says that no step is steered, `cuts` that entries are cut.
    """

    def wrapper(executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Any:
        conds = executor.class_obj.conds
        if "positive" not in conds:
            raise MismatchError(
                f"The guider {type(executor.class_obj).__name__} has no positive conditioning to steer. Use a sampler "
                "or guider with a positive input, or Apply Safety Steer (Conditioning) on the conditioning."
            )
        if cuts:
            step_windows.refuse_split(executor.class_obj.model_options)
        for role in (role for role in conds if role != "positive"):
            conds[role] = _followed(conds[role], conds["positive"], follow)
        conds["positive"], outcomes = replace(conds["positive"])
        pictures = steer_pictures(conds)
        if direction is not None and any(outcome.changed for outcome in outcomes):
            answers.ask(executor.class_obj, direction)
        node_text.show(node_id, node_text.described(outcomes, direction, pictures), NODE_TYPE)
        records = run_log.records_of(outcomes, used)
        del outcomes
        sampled = executor(*args, **kwargs)
        log.add(records)
        return sampled

    return wrapper


def _followed(entries: list[Entry], positive: Sequence[Entry], follow: Replace) -> list[Entry]:
    """Return the entries of another role; what they carry of the positive prompt is steered, and nothing else.

    Wan Animate 2 reads the prompt of its pose once for all roles, and may keep what it made of it for the first that came.
    """
    shared = sharing(entries, positive)
    if not any(shared):
        return entries
    return [made for entry, shares in zip(entries, shared, strict=True) for made in (follow([entry])[0] if shares else [entry])]


def _restore(executor: WrapperExecutor, guider: Any, *args: Any, **kwargs: Any) -> Any:
    """Wrap SAMPLER_SAMPLE: ComfyUI has shared out the areas, so that cut entries need know their families no longer."""
    guider.conds = step_windows.restore(guider.conds, guider.inner_model.model_sampling.percent_to_sigma)
    return executor(guider, *args, **kwargs)
