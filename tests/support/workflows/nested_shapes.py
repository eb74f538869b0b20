"""Workflows whose model, prompt or sampler is in a subgraph, and what has to be steered in each."""

from __future__ import annotations

from .sketch import Expected, Json, loader, node, place, sampler, subgraph, text, workflow


def nested() -> dict[str, tuple[Json, Expected]]:
    """Return every such shape by name."""
    one, clip = ("1", 0), ("1", 1)
    inside = subgraph("all", "seed:INT", "LATENT:LATENT<3.0", loader(1), text(2, "1.1"), sampler(3, "1.0", "2.0"))
    wires = "model:MODEL clip:CLIP"
    with_text = subgraph("draw", wires, "LATENT:LATENT<3.0", text(2, "-10.1"), sampler(3, "-10.0", "2.0"))
    prompted = subgraph("sample", "model:MODEL positive:CONDITIONING", "LATENT:LATENT<3.0", sampler(3, "-10.0", "-10.1"))
    twice = subgraph(
        "deep",
        "positive:CONDITIONING model:MODEL",
        "LATENT:LATENT<4.0",
        node(4, "sample", "model:MODEL<-10.1 positive:CONDITIONING<-10.0", "LATENT"),
    )
    encode = subgraph("encode", "clip:CLIP", "CONDITIONING:CONDITIONING<2.0", text(2, "-10.0"))
    prompt = subgraph(
        "prompt", "text:STRING", "CONDITIONING:CONDITIONING<2.0", node(1, "CLIPLoader", "", "CLIP"), text(2, "1.0")
    )
    in_prompt = ("9/1", 0)
    return {
        "all in a subgraph": (workflow(place("all"), subgraphs=(inside,)), {"10/3": (("10/1", 0), ("10/1", 1))}),
        "model and clip from outside": (
            workflow(loader(), place("draw", "model:MODEL<1.0", "clip:CLIP<1.1"), subgraphs=(with_text,)),
            {"10/3": (one, clip)},
        ),
        "text outside, sampler inside": (
            workflow(
                loader(), text(2, "1.1"), place("sample", "model:MODEL<1.0", "positive:CONDITIONING<2.0"), subgraphs=(prompted,)
            ),
            {"10/3": (one, clip)},
        ),
        "text outside, sampler two levels down": (
            workflow(
                loader(),
                text(2, "1.1"),
                place("deep", "positive:CONDITIONING<2.0", "model:MODEL<1.0"),
                subgraphs=(prompted, twice),
            ),
            {"10/4/3": (one, clip)},
        ),
        "text inside, clip and sampler outside": (
            workflow(
                loader(),
                place("encode", "clip:CLIP<1.1", gives="CONDITIONING"),
                sampler(3, "1.0", "10.0"),
                subgraphs=(encode,),
            ),
            {"3": (one, clip)},
        ),
        "clip known inside only, sampler outside": (
            workflow(loader(), place("prompt", gives="CONDITIONING", number=9), sampler(3, "1.0", "9.0"), subgraphs=(prompt,)),
            {"3": (one, in_prompt)},
        ),
        "clip known in one subgraph, sampler in another": (
            workflow(
                loader(),
                place("prompt", gives="CONDITIONING", number=9),
                place("sample", "model:MODEL<1.0", "positive:CONDITIONING<9.0"),
                subgraphs=(prompt, prompted),
            ),
            {"10/3": (one, in_prompt)},
        ),
        "one subgraph used with two clips": (
            workflow(
                loader(1),
                loader(5),
                text(2, "1.1"),
                text(6, "5.1"),
                place("sample", "model:MODEL<1.0", "positive:CONDITIONING<2.0"),
                place("sample", "model:MODEL<5.0", "positive:CONDITIONING<6.0", number=11),
                subgraphs=(prompted,),
            ),
            {"10/3": (one, clip), "11/3": (("5", 0), ("5", 1))},
        ),
        "one subgraph used twice with one clip": (
            workflow(
                loader(1),
                place("draw", "model:MODEL<1.0", "clip:CLIP<1.1"),
                place("draw", "model:MODEL<1.0", "clip:CLIP<1.1", number=11),
                subgraphs=(with_text,),
            ),
            {"10/3": (one, clip), "11/3": (one, clip)},
        ),
        "ids that are used in root and subgraph": (
            workflow(loader(3), text(2, "3.1"), sampler(1, "3.0", "2.0"), place("all"), subgraphs=(inside,)),
            {"1": (("3", 0), ("3", 1)), "10/3": (("10/1", 0), ("10/1", 1))},
        ),
    }
