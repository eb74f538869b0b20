"""Workflows with steering nodes that a user has placed by hand."""

from __future__ import annotations

from .sketch import Json, loader, node, sampler, subgraph, text, workflow


def _fitted() -> tuple[Json, Json]:
    """Load and Align, whose direction is wire 21.0."""
    return (
        node(20, "LoadSafetyDirection", "", "direction:SAFETY_DIRECTION"),
        node(21, "AlignSafetyDirection", "direction:SAFETY_DIRECTION<20.0 clip:CLIP<1.1", "direction:ALIGNED_DIRECTION"),
    )


def in_a_row() -> Json:
    """Steering on models, one behind the other, and on a prompt, from a mixer and over a reroute."""
    conditioning = "conditioning:CONDITIONING<2.0 direction:ALIGNED_DIRECTION<22.0"
    return workflow(
        loader(),
        *_fitted(),
        node(22, "SafetyCategoryMixer", "direction:ALIGNED_DIRECTION<21.0", "direction:ALIGNED_DIRECTION"),
        node(23, "Reroute", ":*<22.0", ":ALIGNED_DIRECTION"),
        node(24, "ApplySafetySteer", "model:MODEL<1.0 direction:ALIGNED_DIRECTION<23.0", "model:MODEL"),
        node(25, "ApplySafetySteer", "model:MODEL<24.0 direction:ALIGNED_DIRECTION<21.0", "model:MODEL", mode=4),
        text(2, "1.1"),
        node(26, "ApplySafetySteerConditioning", conditioning, "conditioning:CONDITIONING"),
        sampler(3, "25.0", "26.0"),
        sampler(4, "24.0", "2.0"),
    )


def with_reports() -> Json:
    """A report that latents pass through, and a score of the prompt, both used further on."""
    return workflow(
        loader(),
        *_fitted(),
        node(24, "ApplySafetySteer", "model:MODEL<1.0 direction:ALIGNED_DIRECTION<21.0", "model:MODEL report:SAFETY_REPORT"),
        text(2, "1.1"),
        sampler(3, "24.0", "2.0"),
        node(
            30,
            "SafetyReport",
            "report:SAFETY_REPORT<24.1 after:*<3.0 clip:CLIP<1.1",
            "image:IMAGE text:STRING json:STRING after:*",
        ),
        node(31, "VAEDecode", "samples:LATENT<30.3", "IMAGE"),
        node(32, "PreviewImage", "images:IMAGE<30.0"),
        node(
            33,
            "SafetyScore",
            "direction:ALIGNED_DIRECTION<21.0 conditioning:CONDITIONING<2.0",
            "score:FLOAT flagged:BOOLEAN category:STRING image:IMAGE text:STRING",
        ),
        node(34, "Switch", "on:BOOLEAN<33.1"),
    )


def refusing() -> Json:
    """A prompt that is refused, with another in its place, in front of one of two samplers, and a switch that hears of it."""
    takes = "conditioning:CONDITIONING<2.0 direction:ALIGNED_DIRECTION<21.0 clip:CLIP<1.1 replacement:CONDITIONING<5.0"
    return workflow(
        loader(),
        *_fitted(),
        text(2, "1.1"),
        text(5, "1.1"),
        node(26, "RefuseUnsafePrompt", takes, "conditioning:CONDITIONING refused:BOOLEAN"),
        sampler(3, "1.0", "26.0"),
        sampler(4, "1.0", "2.0"),
        node(34, "Switch", "on:BOOLEAN<26.1"),
    )


def saved_direction() -> Json:
    """A direction that is loaded to be saved, and steers nothing."""
    return workflow(
        loader(),
        node(20, "LoadSafetyDirection", "", "direction:SAFETY_DIRECTION"),
        node(21, "SaveSafetyDirection", "direction:SAFETY_DIRECTION<20.0"),
    )


def shared_alignment() -> Json:
    """A direction that comes fitted from a file."""
    return workflow(
        loader(),
        text(2, "1.1"),
        node(21, "LoadAlignedDirection", "clip:CLIP<1.1", "direction:ALIGNED_DIRECTION"),
        node(24, "ApplySafetySteer", "model:MODEL<1.0 direction:ALIGNED_DIRECTION<21.0", "model:MODEL"),
        sampler(3, "24.0", "2.0"),
    )


def fed_into_a_subgraph() -> Json:
    """Steering in a subgraph whose direction and strength come in from outside."""
    apply = node(
        4, "ApplySafetySteer", "model:MODEL<-10.2 direction:ALIGNED_DIRECTION<-10.0 strength:FLOAT<-10.1", "model:MODEL"
    )
    takes = "direction:ALIGNED_DIRECTION strength:FLOAT model:MODEL clip:CLIP"
    draw = subgraph("draw", takes, "LATENT:LATENT<3.0", text(2, "-10.3"), apply, sampler(3, "4.0", "2.0"))
    feed = "direction:ALIGNED_DIRECTION<21.0 strength:FLOAT model:MODEL<1.0 clip:CLIP<1.1"
    holder = node(10, "draw", feed, "LATENT", properties={"proxyWidgets": [["4", "strength"], ["3", "seed"]]})
    return workflow(loader(), *_fitted(), holder, subgraphs=(draw,))


def steering_in_a_subgraph_with_more() -> Json:
    """Load, Align and Apply made a subgraph with one node more, as the editor does with nodes that are selected together."""
    safety = subgraph(
        "safety",
        "model:MODEL clip:CLIP",
        "model:MODEL<24.0 latent:LATENT<25.0",
        node(20, "LoadSafetyDirection", "", "direction:SAFETY_DIRECTION"),
        node(21, "AlignSafetyDirection", "direction:SAFETY_DIRECTION<20.0 clip:CLIP<-10.1", "direction:ALIGNED_DIRECTION"),
        node(24, "ApplySafetySteer", "model:MODEL<-10.0 direction:ALIGNED_DIRECTION<21.0", "model:MODEL"),
        node(25, "EmptyLatentImage", "", "latent:LATENT"),
    )
    holder = node(10, "safety", "model:MODEL<1.0 clip:CLIP<1.1", "model:MODEL latent:LATENT")
    return workflow(loader(), text(2, "1.1"), holder, sampler(3, "10.0", "2.0"), sampler(4, "10.0", "2.0"), subgraphs=(safety,))


def by_hand() -> dict[str, Json]:
    """Return all of them by name."""
    return {
        "steering in a row": in_a_row(),
        "reports and scores": with_reports(),
        "a prompt that is refused": refusing(),
        "a direction that is saved": saved_direction(),
        "a direction that comes fitted": shared_alignment(),
        "steering fed into a subgraph": fed_into_a_subgraph(),
        "steering in a subgraph with more": steering_in_a_subgraph_with_more(),
    }
