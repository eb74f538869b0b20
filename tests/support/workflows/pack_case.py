"""A workflow with nodes of other packs, and what has to come of it."""

from __future__ import annotations

from dataclasses import dataclass

from .sketch import Json, loader, node, text

PAIR = "positive:CONDITIONING<2.0 negative:CONDITIONING<3.0"
BASIC = f"model:MODEL<1.0 clip:CLIP<1.1 vae:VAE<1.2 {PAIR}"
CONTEXT = "CONTEXT:RGTHREE_CONTEXT MODEL:MODEL CLIP:CLIP VAE:VAE POSITIVE:CONDITIONING NEGATIVE:CONDITIONING LATENT:LATENT"


@dataclass(frozen=True)
class Case:
    """A workflow; its samplers with their states; the inputs that Apply leads to; and a part of what is said."""

    data: Json
    states: dict[int, str]
    applied: tuple[str, ...] = ()
    said: str = ""


def start() -> tuple[Json, ...]:
    """A checkpoint 1 with two prompts, 2 and 3."""
    return loader(), text(2, "1.1"), text(3, "1.1")


def context(number: int, takes: str, type: str = "Context (rgthree)") -> Json:
    """A context of rgthree's."""
    return node(number, type, takes, CONTEXT)
