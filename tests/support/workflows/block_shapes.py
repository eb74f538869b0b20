"""Workflows that are steered within a subgraph: by the pack's blueprint, by a block of a user's, by a subgraph with more."""

from __future__ import annotations

import json
from pathlib import Path

from .sketch import Json, loader, node, place, sampler, subgraph, text, workflow

FILE = Path(__file__).parents[3] / "subgraphs" / "Safety Steer.json"
TAKES = ("model:MODEL<{}", "clip:CLIP<1.1")
GIVES = "model:MODEL report:SAFETY_REPORT"
APPLY = ("ApplySafetySteer", "model:MODEL<{} direction:ALIGNED_DIRECTION<81.0", GIVES)


def fit(clip: str) -> tuple[Json, Json]:
    """Load and Align."""
    align = f"direction:SAFETY_DIRECTION<80.0 clip:CLIP<{clip}"
    return (
        node(80, "LoadSafetyDirection", "", "SAFETY_DIRECTION"),
        node(81, "AlignSafetyDirection", align, "ALIGNED_DIRECTION"),
    )


def apply(model: str, number: int = 82, **more: object) -> Json:
    """Apply, fed by `fit`."""
    return node(number, APPLY[0], APPLY[1].format(model), APPLY[2], **more)


def block(number: int, model: str = "1.0", key: str = "block", **more: object) -> Json:
    """A node that stands for a block."""
    return {**place(key, *(wire.format(model) for wire in TAKES), gives=GIVES, number=number), **more}


def blueprint(*nodes: Json) -> Json:
    """A workflow with the pack's own blueprint as node 50, behind a checkpoint and before a sampler."""
    served = json.loads(FILE.read_text(encoding="utf-8"))
    [placed] = served["nodes"]
    takes = " ".join([f"{one['name']}:{one['type']}" for one in placed["inputs"]])
    takes = takes.replace("model:MODEL", TAKES[0].format("60.0")).replace("clip:CLIP", "clip:CLIP<60.1")
    more = {key: placed[key] for key in ("title", "properties", "widgets_values")}
    data = workflow(
        loader(60),
        text(61, "60.1"),
        node(50, placed["type"], takes, GIVES, **more),
        sampler(62, "50.0", "61.0"),
        *nodes,
    )
    return {**data, "definitions": served["definitions"]}


OWN = subgraph("block", "model:MODEL clip:CLIP", "model:MODEL<82.0 report:SAFETY_REPORT<82.1", *fit("-10.1"), apply("-10.0"))
AROUND = subgraph(
    "around",
    "model:MODEL clip:CLIP",
    "model:MODEL<70.0 report:SAFETY_REPORT<70.1",
    place("block", "model:MODEL<-10.0", "clip:CLIP<-10.1", gives=GIVES, number=70),
    node(71, "Note"),
)
LOADING = subgraph("loading", "", "model:MODEL<82.0 clip:CLIP<90.1", loader(90), *fit("90.1"), apply("90.0"))
DRAWING = subgraph("draw", "model:MODEL clip:CLIP", "LATENT:LATENT<3.0", text(2, "-10.1"), sampler(3, "-10.0", "2.0"))


def steered_within() -> dict[str, tuple[Json, str]]:
    """Return workflows whose sampler is steered within a subgraph, with what is said about it, by name."""
    start, drawn = (loader(), text(2, "1.1")), sampler(3, "20.0", "2.0")
    inside = "the steering is in {}"
    found: tuple[tuple[str, Json, str], ...] = (
        ("the blueprint", blueprint(), inside.format("Safety Steer (#50)")),
        ("a block", workflow(*start, block(20), drawn, subgraphs=(OWN,)), inside.format("the block (#20)")),
        (
            "a block of another title",
            workflow(*start, block(20, title="Be nice"), drawn, subgraphs=(OWN,)),
            inside.format("Be nice (#20)"),
        ),
        (
            "a bypassed block",
            workflow(*start, block(20, mode=4), drawn, subgraphs=(OWN,)),
            "its the block (#20) is switched off: bypassed or muted",
        ),
        (
            "a bypassed block after one that is on",
            workflow(*start, block(21), block(20, "21.0", mode=4), drawn, subgraphs=(OWN,)),
            inside.format("the block (#21)"),
        ),
        (
            "a block in a block",
            workflow(*start, block(20, key="around"), drawn, subgraphs=(OWN, AROUND)),
            inside.format("the around (#20)"),
        ),
        (
            "a subgraph that loads and steers",
            workflow(place("loading", gives="model:MODEL clip:CLIP", number=20), text(2, "20.1"), drawn, subgraphs=(LOADING,)),
            inside.format("the loading (#20)"),
        ),
        (
            "a block before a subgraph that samples",
            workflow(loader(), block(20), place("draw", "model:MODEL<20.0", "clip:CLIP<1.1"), subgraphs=(OWN, DRAWING)),
            inside.format("the block (#20)"),
        ),
    )
    return {name: (data, said) for name, data, said in found}


def beside_a_block() -> Json:
    """One sampler behind a block, with a report of it, and one that has no steering yet."""
    takes = "report:SAFETY_REPORT<20.1 after:*<3.0 clip:CLIP<1.1"
    report = node(30, "SafetyReport", takes, "IMAGE text:STRING json:STRING after:*")
    samplers = sampler(3, "20.0", "2.0"), sampler(4, "1.0", "2.0")
    return workflow(loader(), text(2, "1.1"), block(20), *samplers, report, subgraphs=(OWN,))


def loose_behind_a_block() -> Json:
    """A sampler behind a block and an Apply of its own."""
    start = (loader(), text(2, "1.1"), block(20), *fit("1.1"))
    return workflow(*start, apply("20.0"), sampler(3, "82.0", "2.0"), subgraphs=(OWN,))
