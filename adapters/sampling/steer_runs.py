"""Make a clone of a MODEL steer the positive conditioning of every sampling run, at one of the two sites."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from comfy.patcher_extension import WrapperExecutor, WrappersMP

from ...safety_steer.directions.aligned import AlignedDirection
from ...safety_steer.errors import MismatchError
from ...safety_steer.steering.steer_conditioning import Outcome, SteerSettings
from .. import node_text, run_log
from ..run_log import RunLog
from . import answers, cross_attention, prompts_in_model, roles, step_windows, unasked
from .entries import Steer, each_with_text, sharing, steer_copies, steer_entries, steer_text
from .pictures import Pictures, require_pictures_alone, steer_known_pictures, steer_pictures_of
from .step_windows import Entry, Window

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

Replace = Callable[[Sequence[Entry]], tuple[list[Entry], list[Outcome]]]
SteerPictures = Callable[[dict[str, list[Entry]], Sequence[str]], Pictures | None]
Say = Callable[[str], None]

WRAPPER_KEY = "safety_steer"


def at_conditioning(
    patched: ModelPatcher,
    direction: AlignedDirection | None,
    steering: SteerSettings,
    window: Window,
    say: Say,
    log: RunLog,
    of_pictures: AlignedDirection | None = None,
) -> None:
    """Replace positive entries by steered ones, for the steps of the window: their text, what CLIP vision said, or both.

    What was done is said before sampling, and logged after it.
    """
    replace: Replace = _as_they_are
    follow: Replace = _as_they_are
    if direction is not None:
        replace, follow = (_steering(direction, steering, window, steer) for steer in (steer_text, steer_copies))
    steer_pictures = _steering_of_pictures(of_pictures, steering, window, alone=direction is None)
    if not window.whole and not patched.get_wrappers(WrappersMP.SAMPLER_SAMPLE, step_windows.KEY):
        patched.add_wrapper_with_key(WrappersMP.SAMPLER_SAMPLE, step_windows.KEY, _restore)
    used = run_log.any_step(window)
    _attach(patched, _wrapper(replace, follow, steer_pictures, direction, say, log, used, cuts=used and not window.whole))


def at_cross_attention(
    patched: ModelPatcher,
    direction: AlignedDirection,
    steering: SteerSettings,
    layer: cross_attention.Layer,
    say: Say,
    log: RunLog,
) -> None:
    """Let positive entries carry the steered text that every step moves toward, as the layer says."""
    bit = cross_attention.attach(patched, layer)
    replace, follow = (_carrying(direction, steering, bit, steer) for steer in (steer_text, steer_copies))
    used = run_log.any_step(layer.curve.window)
    _attach(patched, _wrapper(replace, follow, _no_pictures, direction, say, log, used, cuts=False))


def _attach(patched: ModelPatcher, wrapper: Callable[..., Any]) -> None:
    answers.attach(patched)
    patched.add_wrapper_with_key(WrappersMP.OUTER_SAMPLE, WRAPPER_KEY, wrapper)


def _steering(direction: AlignedDirection, steering: SteerSettings, window: Window, steer: Steer) -> Replace:
    """Return how the conditioning site replaces positive entries: by steered ones, for the steps of the window."""
    cut = partial(step_windows.cut_family, window=window)
    return partial(steer_entries, direction=direction, settings=steering, cut=cut, steer=steer)


def _carrying(direction: AlignedDirection, steering: SteerSettings, bit: int, steer: Steer) -> Replace:
    """Return how the cross-attention site replaces them: by ones that carry the steered text every step moves toward."""
    within = cross_attention.within_reach(direction)

    def act(entry: Entry) -> tuple[list[Entry], Outcome]:
        carrying, outcome = cross_attention.attach_steered_text(entry, bit, within, steering, steer)
        return [carrying], outcome

    return partial(each_with_text, act=act)


def _as_they_are(entries: Sequence[Entry]) -> tuple[list[Entry], list[Outcome]]:
    """Leave all entries alone, where a direction for pictures alone is given."""
    return list(entries), []


def _no_pictures(_: dict[str, list[Entry]], _positive: Sequence[str]) -> None:
    """Leave pictures alone."""


def _steering_of_pictures(
    direction: AlignedDirection | None, steering: SteerSettings, window: Window, alone: bool
) -> SteerPictures:
    """Return what steers the pictures of a sampling run in all its roles, and says what it did; `alone` without text."""
    if direction is None:
        return _no_pictures

    def steer(conds: dict[str, list[Entry]], positive: Sequence[str]) -> Pictures:
        pictures, cut = Pictures(direction, steering), partial(step_windows.cut_family, window=window)
        for role in positive:
            if alone:
                require_pictures_alone(conds[role], direction)
            conds[role] = steer_pictures_of(conds[role], pictures, cut)
        for role in (role for role in conds if role not in positive):
            conds[role] = steer_known_pictures(conds[role], pictures, cut)
        return pictures

    return steer


def _wrapper(
    replace: Replace,
    follow: Replace,
    steer_pictures: SteerPictures,
    direction: AlignedDirection | None,
    say: Say,
    log: RunLog,
    used: bool,
    cuts: bool,
) -> Callable[..., Any]:
    """Return the OUTER_SAMPLE wrapper: it replaces the positive entries of one sampling run, which ComfyUI drops after it.

    `follow` replaces entries of other roles that carry text of the positive, `steer_pictures` what came in as a picture. What
    was done, and what was not reached, goes to the log once the run is done; not `used` says that no step is steered, `cuts`
    that entries are cut.
    """

    def wrapper(executor: WrapperExecutor, *args: Any, **kwargs: Any) -> Any:
        unasked.asked()
        guider = executor.class_obj
        conds, positive = guider.conds, roles.positive(guider.conds)
        if not positive:
            raise MismatchError(
                f"The guider {type(guider).__name__} has no positive conditioning to steer. Use a sampler "
                "or guider with a positive input, or Apply Safety Steer (Conditioning) on the conditioning."
            )
        if cuts:
            step_windows.refuse_split(guider.model_options)
        entries = [entry for role in positive for entry in conds[role]]
        notices = roles.left_alone(guider, conds)
        notices += prompts_in_model.left_alone(entries, guider.model_patcher, guider.model_options)
        for role in (role for role in conds if role not in positive):
            conds[role] = _followed(conds[role], entries, follow)
        outcomes: dict[str, list[Outcome]] = {}
        for role in positive:
            conds[role], outcomes[role] = replace(conds[role])
        pictures = steer_pictures(conds, positive)
        done = [outcome for found in outcomes.values() for outcome in found]
        if direction is not None and any(outcome.changed for outcome in done):
            answers.ask(guider, direction, [entry for role in positive for entry in conds[role]])
        say(node_text.described(outcomes, direction, pictures, notices))
        records = run_log.records_of(done, used)
        seen = [] if pictures is None else pictures.reports(used)
        del outcomes, done, pictures
        sampled = executor(*args, **kwargs)
        log.add(records, notices, seen)
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
