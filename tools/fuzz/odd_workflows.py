"""Workflows of the editor that were once read wrongly, by `safety-steer add`, by the window's scripts or by both."""

from __future__ import annotations

import copy
from typing import Any

from . import samples  # noqa: F401 - lets `support` be found

Json = dict[str, Any]
MERGE = "Context Merge (rgthree)"
TEXTLESS = {"toString": None, "valueOf": 1}  # what JavaScript can make no text of


def odd_workflows() -> dict[str, Json]:
    """Return each by what is wrong with it."""
    from support.workflows.sketch import loader, node, plain, sampler, subgraph, text, workflow

    def changed(number: int, **values: Any) -> Json:
        """Return the plain workflow with other values in one of its nodes."""
        data: Json = copy.deepcopy(plain())
        next(one for one in data["nodes"] if one["id"] == number).update(values)
        return data

    holder = subgraph("s", "model:MODEL", "LATENT<3.0", node(3, "s", "model:MODEL<-10.0", "LATENT"))
    reroutes = subgraph(
        *("s", "model:MODEL positive:CONDITIONING", "LATENT<3.0"),
        node(3, "Reroute", "model:MODEL<-10.0 positive:CONDITIONING<-10.1", "LATENT"),
    )
    encoding = subgraph("s", "text:STRING", "CONDITIONING<2.0", node(2, "ApplySafetySteer", "clip:CLIP<-10.0", "CONDITIONING"))
    noted = subgraph("s", "text:STRING", "CONDITIONING<2.0", node(2, "MarkdownNote", "clip:CLIP<-10.0", "CONDITIONING"))
    high = copy.deepcopy(plain())
    high["links"][0][0] = high["nodes"][0]["outputs"][1]["links"][0] = high["nodes"][1]["inputs"][0]["link"] = 2**53
    unnumbered = copy.deepcopy(plain())
    unnumbered["links"][3][0] = unnumbered["nodes"][3]["inputs"][0]["link"] = TEXTLESS
    shown = workflow(
        *(loader(), text(2, "1.1"), node(4, "s", "model:MODEL<1.0 positive:CONDITIONING<2.0", "LATENT")),
        subgraphs=(
            subgraph(
                *("s", "model:MODEL positive:CONDITIONING", "LATENT<3.0"),
                node(2, "ApplySafetySteer", "model:MODEL<-10.0", "MODEL"),
                node(3, "KSampler", "model:MODEL<2.0 positive:CONDITIONING<-10.1", "LATENT"),
            ),
        ),
    )
    shown["nodes"][2]["properties"]["proxyWidgets"] = [None, ["2", "strength"]]
    mistaken = workflow(
        *(loader(), text(2, "1.1"), text(4, "1.1")),
        node(5, "ToBasicPipe", "model:MODEL<1.0 positive:CONDITIONING<2.0 negative:CONDITIONING<4.0", "BASIC_PIPE"),
        node(6, "FromBasicPipe", "basic_pipe:BASIC_PIPE<5.0", "positive:CONDITIONING negative:CONDITIONING"),
        node(8, "ImpactKSamplerBasicPipe", "basic_pipe:BASIC_PIPE<5.0", "LATENT"),
        node(7, "KSampler", "model:MODEL<6.1 positive:CONDITIONING<6.0", "LATENT"),
    )
    refining = workflow(
        *(loader(), text(2, "1.1"), loader(20), text(21, "20.1")),
        node(
            *(5, "ToDetailerPipeSDXL"),
            "model:MODEL<1.0 positive:CONDITIONING<2.0 refiner_model:MODEL<20.0 refiner_positive:CONDITIONING<21.0",
            "DETAILER_PIPE",
        ),
        node(6, "FromDetailerPipeSDXL", "detailer_pipe:DETAILER_PIPE<5.0", "refiner_model:MODEL refiner_positive:CONDITIONING"),
        node(8, "FaceDetailerPipe", "detailer_pipe:DETAILER_PIPE<5.0", "IMAGE"),
        node(7, "KSampler", "model:MODEL<6.0 positive:CONDITIONING<6.1", "LATENT"),
    )
    slotless = workflow(
        loader(), text(2, "1.1"), node(3, "ApplySafetySteer", "model:MODEL<1.0 conditioning:CONDITIONING<2.0", "MODEL")
    )
    slotless["links"][-1][2] = TEXTLESS
    # What is kept under a name comes from where the name is read, by four ways each time.
    reader = subgraph(
        *("reader", "model:MODEL", "LATENT<4.0", node(5, "GetNode", "", "CLIP", widgets_values=["a"])),
        node(4, "KSampler", "model:MODEL<-10.0 positive:BASIC_PIPE<5.0", "LATENT"),
    )
    readers = (node(number, "reader", "model:MODEL<-10.0", "LATENT") for number in (11, 12))
    circling = workflow(
        *(node(number, "around", "model:MODEL", "LATENT") for number in (2, 12)),
        node(6, "SetNode", "a:CONDITIONING<6.0 b:PIPE_LINE_SDXL<12.0", "*", widgets_values=["a"]),
        subgraphs=(subgraph("around", "model:MODEL", "LATENT<11.0", *readers), reader),
    )
    nameless_graph = workflow(
        *(loader(), text(2, "1.1"), node(5, "LoadImage", "", "CONDITIONING")),
        *(
            node(number, "s", f"model:MODEL<1.0 positive:CONDITIONING<{start}.0", "LATENT")
            for number, start in ((6, 2), (7, 5))
        ),
        subgraphs=(
            subgraph(
                *("s", "model:MODEL positive:CONDITIONING", "LATENT<3.0"),
                node(3, "KSampler", "model:MODEL<-10.0 positive:CONDITIONING<-10.1", "LATENT"),
            ),
        ),
    )
    nameless_graph["definitions"]["subgraphs"][0]["name"] = TEXTLESS
    out_of_root = workflow(loader(), node(2, "ApplySafetySteer", "model:MODEL<1.0", "MODEL"), node(3, "Note", "a:MODEL<2.0"))
    out_of_root["links"][-1][3:5] = [-20, 3]
    slots = copy.deepcopy(plain())
    slots["links"][1][2] = "length"
    broken = workflow(
        node(1, "ToBasicPipe", "", "BASIC_PIPE"), node(2, "ImpactKSamplerBasicPipe", "basic_pipe:BASIC_PIPE<1.0", "LATENT")
    )
    broken["links"] = []
    nameless = {"name": TEXTLESS, "type": TEXTLESS, "link": None}
    steered = workflow(loader(), node(2, "ApplySafetySteer", "model:MODEL<1.0", "MODEL"))
    steered["nodes"][1]["outputs"][0]["links"] = 7
    return {
        "a-pipe-whose-wire-is-broken": broken,
        "pipes-merged-30-times": workflow(*_merged(loader, node, 30)),
        "a-link-with-an-id-that-floats-do-not-count": high,
        "a-counter-that-floats-do-not-count": {**plain(), "last_link_id": 2**60},
        "a-link-whose-id-has-no-text": unnumbered,
        "a-slot-that-has-no-text": slotless,
        "a-counter-that-counts-nothing": {**plain(), "last_link_id": "many"},
        "a-counter-of-nodes-that-counts-nothing": {**plain(), "last_node_id": {}},
        "a-counter-that-has-no-text": {**plain(), "last_link_id": TEXTLESS},
        "a-widget-shown-that-is-none": shown,
        "a-prompt-of-a-pipe-as-a-model": mistaken,
        "a-refiner-out-of-a-shared-pipe": refining,
        "a-subgraph-whose-name-is-no-text": nameless_graph,
        "a-name-kept-from-where-it-is-read": circling,
        "two-samplers-in-a-circle": workflow(
            *(loader(), text(2, "1.1")),
            node(4, "KSampler (Efficient)", "model:MODEL<5.0 positive:CONDITIONING<2.0", "MODEL LATENT"),
            node(5, "KSampler (Efficient)", "model:MODEL<4.0 positive:CONDITIONING<2.0", "MODEL LATENT"),
        ),
        "a-subgraph-of-reroutes-that-samples": workflow(
            *(loader(), text(2, "1.1"), node(4, "s", "model:MODEL<1.0 positive:CONDITIONING<2.0", "LATENT")),
            subgraphs=(reroutes,),
        ),
        "a-steering-node-that-encodes": workflow(
            *(loader(), node(9, "s", "", "CONDITIONING"), sampler(3, "1.0", "9.0")), subgraphs=(encoding,)
        ),
        "a-note-that-encodes": workflow(
            *(loader(), node(9, "s", "", "CONDITIONING"), sampler(3, "1.0", "9.0")), subgraphs=(noted,)
        ),
        "a-sampler-left-alone-beside-another-prompt": workflow(
            *(loader(), node(2, "LoadImage", "", "CONDITIONING"), text(5, "1.1")),
            node(3, "KSampler", "model:MODEL<1.0 positive:CONDITIONING<2.0 opt_pos:CONDITIONING<5.0", "LATENT"),
        ),
        "a-node-called-constructor": changed(3, type="constructor", outputs=[]),
        "a-node-called-to-string": changed(4, type="toString"),
        "an-input-called-constructor": workflow(
            loader(),
            text(2, "1.1"),
            node(3, "KSampler", "model:MODEL<1.0 positive:CONDITIONING<2.0 constructor:CONDITIONING<2.0", "LATENT"),
        ),
        "an-input-called-proto": workflow(
            loader(),
            text(2, "1.1"),
            node(3, "KSampler", "model:MODEL<1.0 positive:CONDITIONING<2.0 __proto__:CONDITIONING<2.0", "LATENT"),
        ),
        "a-node-without-a-type": changed(3, type=None),
        "a-bypassed-node-whose-type-is-no-text": changed(
            1, mode=4, outputs=[{**socket, "type": TEXTLESS} for socket in plain()["nodes"][0]["outputs"]]
        ),
        "a-node-that-is-nowhere": changed(3, pos=["a", None], size={}),
        "a-socket-without-a-text": changed(3, inputs=[*plain()["nodes"][2]["inputs"], nameless]),
        "a-subgraph-that-holds-itself": workflow(loader(), node(2, "s", "model:MODEL<1.0", "LATENT"), subgraphs=(holder,)),
        "a-wire-out-of-the-root": out_of_root,
        "a-slot-called-length": slots,
        "links-that-are-a-number": steered,
        "steering-nodes-that-give-nothing": workflow(
            *(loader(), text(2, "1.1"), sampler(3, "1.0", "2.0"), node(5, "LoadSafetyDirection")),
            node(6, "AlignSafetyDirection", "clip:CLIP<1.1 direction:SAFETY_DIRECTION"),
        ),
    }


def _merged(loader: Any, node: Any, count: int) -> list[Json]:
    """Return merges of pipes, each made twice of the one before and the first of nothing, and a sampler at their end."""
    pipe = "RGTHREE_CONTEXT"
    nodes = [loader(), node(10, MERGE, f"base_ctx:{pipe}", f"CONTEXT:{pipe}")]
    for number in range(10, 10 + count):
        takes = " ".join(f"ctx_0{slot}:{pipe}<{number}.0" for slot in (1, 2))
        nodes.append(node(number + 1, MERGE, takes, f"CONTEXT:{pipe} MODEL CONDITIONING"))
    last = 10 + count
    return [*nodes, node(3, "KSampler", f"model:MODEL<{last}.1 positive:CONDITIONING<{last}.2", "LATENT")]
