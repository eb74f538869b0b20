"""What Safety Report tells of pictures that came in, after both Apply nodes."""

from __future__ import annotations

import json
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
from support.comfyui import pictures
from test_vision import Conditioning, model, prompts, sampled, svd, text_direction


def reported(log: Any) -> tuple[str, dict[str, Any]]:
    _, text, data, _ = running_comfyui.call("SafetyReport", report=log)
    return text, json.loads(data)


def with_report(conditioning: Conditioning, direction: Any, **values: Any) -> Any:
    inputs = {"strength": 1.0, "operator": "erase", "gate": "hard", "preserve_norm": False, **values}
    steps = {"start_percent": 0.0, "end_percent": 1.0}
    return running_comfyui.call(
        "ApplySafetySteerConditioning", conditioning=conditioning, direction=direction, **{**steps, **inputs}
    )[1]


@pytest.mark.parametrize("end", [1.0, 0.0])
def test_a_report_tells_what_became_of_pictures(end: float) -> None:
    said = prompts("wan_i2v", pictures.unsafe(2))[0]
    log = with_report(said, text_direction("wan_i2v"), vision_direction=pictures.aligned(), end_percent=end)
    text, data = reported(log)
    assert "Picture 2: flagged as weapons (score +" in text
    assert "a picture comes in as concat_latent_image too, which stays as it is" in text
    assert [one["flagged"] for one in data["pictures"]] == [True, True]
    assert all((share > 0) == (end > 0) for one in data["pictures"] for share in one["moved"].values())
    assert len(data["prompts"]) == 1
    assert reported(with_report(said, text_direction("wan_i2v")))[1]["pictures"] == []


def test_a_report_of_pictures_alone_says_them_in_place_of_words() -> None:
    log = with_report(svd(pictures.unsafe())[0], pictures.aligned())
    text, data = reported(log)
    assert text.startswith("Picture 1: flagged as weapons")
    assert "no text" not in text
    assert data["prompts"] == []


def test_a_report_after_sampling_tells_every_picture_once() -> None:
    inputs = {"strength": 1.0, "operator": "erase", "gate": "hard", "preserve_norm": False}
    patched, log = running_comfyui.call(
        "ApplySafetySteer", model=model("wan_i2v"), direction=text_direction("wan_i2v"), start_percent=0.0, end_percent=1.0,
        vision_direction=pictures.aligned(), **inputs,
    )  # fmt: skip
    sampled("wan_i2v", patched, prompts("wan_i2v", pictures.unsafe()))
    text, data = reported(log)
    assert text.count("Picture ") == len(data["pictures"]) == 1
