"""Pictures that come in with a prompt: steer what CLIP vision says of them wherever the entries of a run carry it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...safety_steer.directions import vision_spaces
from ...safety_steer.directions.aligned import AlignedDirection
from ...safety_steer.errors import MismatchError
from ...safety_steer.reports.picture_reports import PictureReport, picture_reports
from ...safety_steer.steering.steer_conditioning import Outcome, SteerSettings
from ...safety_steer.steering.steer_pictures import require_text, require_vision, steer_output, steer_pictures
from .entries import STEERED
from .step_windows import Cut, Entry


@dataclass(frozen=True, eq=False)
class Pictures:
    """How pictures are steered, and what became of those seen so far, by the `id` of what CLIP vision said: (it, its copy).

    One picture goes into several entries and roles as the very same object, and is steered once. `outcomes` are in the order
    the pictures were met, `past` names their ways past CLIP vision.
    """

    direction: AlignedDirection
    settings: SteerSettings
    seen: dict[int, tuple[Any, Any]] = field(default_factory=dict)
    outcomes: list[Outcome] = field(default_factory=list)
    past: dict[str, None] = field(default_factory=dict)

    def steer(self, entry: Entry) -> Entry:
        """Return a copy of an entry with steered pictures; the entry itself when none of them moves."""
        self.past.update(dict.fromkeys(vision_spaces.past_vision(entry)))
        for output in vision_spaces.outputs(entry):
            if id(output) not in self.seen:
                made, outcome = steer_output(output, self.direction, self.settings, check=not getattr(output, STEERED, False))
                if made is not output:
                    object.__setattr__(made, STEERED, True)
                self.seen[id(output)] = (output, made)
                self.outcomes.append(outcome)
        return self._in_place_of_text(self.known(entry))

    def reports(self, used: bool) -> list[PictureReport]:
        """Report on the pictures met so far; not `used` when no step sees them steered."""
        return picture_reports(self.outcomes, self.direction, list(self.past), used)

    def known(self, entry: Entry) -> Entry:
        """Return a copy of an entry with those pictures in it that were steered before; the entry itself without any."""
        changed = {key: made for key, (output, made) in self.seen.items() if made is not output}
        found = any(id(output) in changed for output in vision_spaces.outputs(entry))
        return vision_spaces.with_outputs(entry, changed) if found else entry

    def _in_place_of_text(self, entry: Entry) -> Entry:
        space = self.direction.spaces.get(vision_spaces.EMBEDS)
        embeds = None if space is None else vision_spaces.embedding_for_text(entry, space.width)
        if space is None or embeds is None:
            return entry
        outcome = steer_pictures(
            {vision_spaces.EMBEDS: embeds}, self.direction, self.settings, check=not entry.get(STEERED, False)
        )
        self.outcomes.append(outcome)
        steered = outcome.tensors[vision_spaces.EMBEDS]
        if steered is embeds:
            return entry
        states = entry["cross_attn"].clone()
        states[..., : space.width] = steered.unflatten(0, states.shape[:2])
        return {**entry, "cross_attn": states, STEERED: True}


def chosen(
    direction: AlignedDirection, vision_direction: AlignedDirection | None, node: str
) -> tuple[AlignedDirection | None, AlignedDirection | None]:
    """Return the directions for text and for pictures of a node with both inputs; raises MismatchError for one in the other's.

    Where no text is, as for SVD, a direction for pictures may come in as `direction`, alone.
    """
    if vision_direction is None and vision_spaces.is_vision(direction):
        return None, direction
    require_text(direction, f"direction of {node}")
    if vision_direction is not None:
        require_vision(vision_direction, f"vision_direction of {node}")
    return direction, vision_direction


def steer_pictures_of(entries: Sequence[Entry], pictures: Pictures, cut: Cut) -> list[Entry]:
    """Return entries with their pictures steered, each as `cut` makes it of the entry and its steered copy."""
    return [made for entry in entries for made in _cut(entry, pictures.steer(entry), cut)]


def steer_known_pictures(entries: Sequence[Entry], pictures: Pictures, cut: Cut) -> list[Entry]:
    """Return entries of another role with those pictures steered that the positive prompt came with too."""
    return [made for entry in entries for made in _cut(entry, pictures.known(entry), cut)]


def require_pictures_alone(entries: Sequence[Entry], direction: AlignedDirection) -> None:
    """Raise MismatchError where entries carry text, which a direction for pictures does not reach."""
    space = direction.spaces.get(vision_spaces.EMBEDS)
    for entry in entries:
        alone = space is not None and vision_spaces.embedding_for_text(entry, space.width) is not None
        if entry.get("cross_attn") is not None and not alone:
            raise MismatchError(
                f"Expected a direction for text, but the direction input is fitted to pictures ('{direction.encoder}'), and "
                "this prompt has text. Connect the direction from Align Direction to direction, and that for pictures to "
                "vision_direction."
            )


def _cut(entry: Entry, steered: Entry, cut: Cut) -> list[Entry]:
    return [entry] if steered is entry else cut(entry, steered)
