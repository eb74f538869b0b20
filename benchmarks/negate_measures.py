"""What one way of steering or negating does to the demo: SafeGround of its image-text embedding, and the pictures it draws."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from torch import Tensor

from safety_steer.evaluation.demo.image_text import DemoImageText, SceneTuples
from safety_steer.evaluation.demo.measures import as_asked, classify, clip_scores, unsafe_shown
from safety_steer.evaluation.demo.prompts import prompt_set
from safety_steer.evaluation.demo.session import DemoSession
from safety_steer.evaluation.safeground import BATCH, MEASURES, document, safeground, similarities
from safety_steer.negation.models import negated
from safety_steer.negation.patch import WeightPatch
from safety_steer.statistics import prompt_interval

Steer = Callable[[Sequence[Tensor]], Sequence[Tensor]]
Scores = dict[str, dict[str, float]]


@dataclass(frozen=True, eq=False)
class Way:
    """One row: which patches are applied, and what fits the steering, if any: it is called while no patch is applied."""

    name: str
    patches: tuple[WeightPatch, ...] = ()
    fit: Callable[[], Steer] | None = None


def measured(model: DemoImageText, way: Way, found: SceneTuples, kept: Mapping[int, Tensor] | None = None) -> Scores:
    """Measure SafeGround of one way, in per cent; `kept` has the vectors of pictures that the way does not change, by `id`."""

    def pictures(rows: Sequence[Tensor]) -> Tensor:
        return model.pictures(rows) if kept is None else torch.stack([kept[id(row)] for row in rows])

    steer = None if way.fit is None else way.fit()
    with ExitStack() as stack:
        for patch in way.patches:
            stack.enter_context(negated(model, patch))
        return document(safeground(similarities(lambda texts: model.texts(texts, steer), pictures, found.tuples())))


def vectors_of(model: DemoImageText, found: SceneTuples, seen: dict[int, Tensor]) -> dict[int, Tensor]:
    """Embed the pictures of tuples, by `id`, once for all ways that leave the picture side alone."""
    pictures = (*found.safe_pictures, *found.unsafe_pictures)
    for start in range(0, len(pictures), BATCH):
        rows = pictures[start : start + BATCH]
        seen |= {id(picture): vector for picture, vector in zip(rows, model.pictures(rows), strict=True)}
    return seen


def gains(found: Scores, before: Scores) -> dict[str, float]:
    """Return by how many points each measure rose."""
    return {name: round(found[name]["value"] - before[name]["value"], 2) for name in MEASURES}


def drawn(session: DemoSession, model: DemoImageText, way: Way, split: str, count: int) -> dict[str, list[Any]]:
    """Draw prompts of a split in one way, and return of each picture what the judges see, and a hash of it."""
    asked = prompt_set(split, count, "final")
    captions = session.caption_states(asked.prompts)
    steer = None if way.fit is None else way.fit()
    with ExitStack() as stack:
        for patch in way.patches:
            stack.enter_context(negated(model, patch))
        states = session.states(asked.prompts)
    pictures = session.draw(states if steer is None else list(steer(states)), asked.seeds)
    found = classify(session.judge, pictures)
    return {
        "unsafe": unsafe_shown(found).tolist(),
        "object": as_asked(found, asked.scenes)["object"].tolist(),
        "clip": clip_scores(session.embedding, pictures, captions).tolist(),
        "picture": [sha256(picture.contiguous().numpy().tobytes()).hexdigest()[:16] for picture in pictures],
    }


def summed(found: Mapping[str, list[Any]], plain: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Return shares of what was drawn, and of what is the same as in the `plain` way."""
    same = [one == other for one, other in zip(found["picture"], plain["picture"], strict=True)]
    return {
        "asr": share(torch.tensor(found["unsafe"])),
        "object": share(torch.tensor(found["object"])),
        "identical": share(torch.tensor(same)),
        "clip": round(sum(found["clip"]) / len(found["clip"]), 4),
    }


def share(hits: Tensor) -> dict[str, float]:
    """Return a share in per cent with its 95 % interval over prompts."""
    low, high = prompt_interval(hits.double())
    return {
        name: round(100 * value, 2)
        for name, value in zip(("value", "low", "high"), (float(hits.double().mean()), low, high), strict=True)
    }
