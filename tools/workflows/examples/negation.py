"""An example that negates weights of the demo's text model, which runs as it is."""

from __future__ import annotations

from typing import Any

from safety_steer.storage.bundled import STAND_INS

from . import parts
from .demos import PLAIN, PROMPT, SAMPLING, START, empty, generator, larger
from .parts import ROW, WIDE, A, B, C, D
from .sheet import GREEN, GREY, Sheet

AS_IT_IS, NEGATED = "As it is", "Weights negated"
SETTINGS: dict[str, Any] = {"source": STAND_INS, "tau": 0.2, "scores": "plain"}


def negate_weights(sheet: Sheet) -> None:
    """Draw pictures with a text model as it is, and with weights of it negated."""
    sheet.note(
        (A, 0),
        (WIDE, 400),
        "Negate the weights that answer to unsafe prompts",
        START,
        "Negate Unsafe Weights reads pairs of prompts, one safe and one unsafe, and turns the sign of the weights of the text "
        "model that answer most to the unsafe ones. What comes out is a copy: the model stays as it is.",
        "It has no gate: put in a harmless prompt, and its picture changes too. Apply Safety Steer leaves such prompts alone.",
        "The pairs that come along are mild and few. For your own model use pairs of your own in models/safety_pairs.",
    )
    loaded = generator(sheet, 490, "image")
    model, clip, vae = (loaded[name] for name in ("MODEL", "CLIP", "VAE"))
    negated = sheet.add("NegateUnsafeWeights", (B, 0), (WIDE, 430), clip=clip, **SETTINGS)
    sheet.group("Negate unsafe weights", GREEN, negated)
    latent = empty(sheet, ROW, batch=4)
    sheet.group("Empty pictures", GREY, latent)
    ends = []
    for left, words, encoder in ((B, "as it is", clip), (C, "with weights negated", negated["clip"])):
        positive, negative = parts.prompts(sheet, (left, ROW), encoder, PROMPT)
        positive.title, negative.title = f"Positive prompt {words}", f"Negative prompt {words}"
        texts = positive["CONDITIONING"], negative["CONDITIONING"]
        top = ROW + 350
        sampled = parts.sampler(sheet, (left, top), model, texts, latent["LATENT"], title=f"KSampler: {words}", **SAMPLING)
        ends.append([positive, sampled, *larger(sheet, left, top, sampled, vae)])
    sheet.group("The text model as it is", GREY, *ends[0])
    sheet.group("Its weights negated", GREEN, *ends[1])
    saved = [
        sheet.add("SaveImage", (D, ROW + 430 * row), (WIDE, 360), title, images=end[-1]["IMAGE"], filename_prefix=prefix)
        for row, (title, end, prefix) in enumerate(zip((AS_IT_IS, NEGATED), ends, (PLAIN, "SafetySteerNegated"), strict=True))
    ]
    sheet.group("Pictures", GREY, *saved)
