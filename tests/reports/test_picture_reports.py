"""What a report says of pictures: what the gate thought, how far each space moved, and which ways lead past CLIP vision."""

from __future__ import annotations

import json
from functools import cache

import torch
from support import builders, wording

from safety_steer.alignment.anchors import collect
from safety_steer.alignment.vision import align_pictures
from safety_steer.directions.aligned import AlignedDirection
from safety_steer.directions.vision_spaces import LAST
from safety_steer.reports.picture_reports import PictureReport, picture_reports
from safety_steer.steering.steer_conditioning import Outcome, SteerSettings
from safety_steer.steering.steer_pictures import steer_pictures

COUNT = 320


@cache
def aligned() -> AlignedDirection:
    latents = builders.world().benign(COUNT, 7)
    direction = builders.planted_direction()
    source = direction.standardise(builders.world().source(latents)).float()
    seen = collect([{LAST: builders.world().target(latents, seed=8)}], COUNT)
    return align_pictures(direction, [f"thing {number}" for number in range(COUNT)], source, seen, "planted vision")


def outcome(unsafe: bool, **settings: float) -> Outcome:
    states = builders.unsafe_batch(2) if unsafe else builders.benign_batch(2)
    return steer_pictures({LAST: states}, aligned(), SteerSettings(**settings), check=False)  # type: ignore[arg-type]


def test_flagged_pictures_are_reported_with_what_the_gate_thought_and_how_far_they_moved() -> None:
    made = outcome(unsafe=True)
    assert made.gate is not None
    reports = picture_reports([made], aligned(), past=["concat_latent_image"])
    assert len(reports) == 2
    for row, one in enumerate(reports):
        assert one.flagged
        assert one.category in wording.SWAPS
        assert (one.score, one.threshold) == (float(made.gate.scores[row]), made.gate.threshold)
        moved = made.tensors[LAST][row] - made.before[LAST][row]
        touched = moved.norm(dim=-1) > 0
        share = moved.norm(dim=-1).sum() / made.tensors[LAST][row].norm(dim=-1)[touched].sum()
        torch.testing.assert_close(torch.tensor(one.moved[0][1]), share, rtol=1e-3, atol=1e-4)
        assert one.text(row + 1).startswith(f"Picture {row + 1}: flagged as {one.category} (score +")
        assert "last_hidden_state moved by" in one.text(1)
        assert "a picture comes in as concat_latent_image too, which stays as it is" in one.text(1)


def test_harmless_pictures_are_left_as_they_were_and_so_are_all_where_no_step_is_steered() -> None:
    for one in picture_reports([outcome(unsafe=False)], aligned()):
        assert not one.flagged
        assert one.moved == ((LAST, 0.0),)
        assert "not flagged" in one.text(1)
        assert one.text(1).endswith("left as it was.")
    unused = picture_reports([outcome(unsafe=True)], aligned(), used=False)
    assert all(one.flagged and one.moved == ((LAST, 0.0),) for one in unused)


def test_without_strength_no_gate_is_asked_and_nothing_is_reported() -> None:
    assert picture_reports([outcome(unsafe=True, strength=0.0)], aligned()) == []


def test_the_document_is_json_and_says_all_there_is() -> None:
    nothing = PictureReport("eyes", "self_harm", False, None, 1.0, ((LAST, 0.0),), ("ref_latent",))
    document = json.loads(json.dumps(nothing.document(), allow_nan=False))
    assert document == {
        **{"encoder": "eyes", "category": "self_harm", "flagged": False, "score": None, "threshold": 1.0},
        **{"moved": {LAST: 0.0}, "past": ["ref_latent"]},
    }
    assert nothing.text(3).startswith("Picture 3: not flagged (score none, limit +1.0), left as it was.")
