"""Workflows in the API format: seen as a graph with types guessed from names, and changed in their own form."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from ..api_wires import wire
from .format_check import api_nodes
from .graph import Document, Json, Wire, inputs
from .pack_nodes import ALIGN, APPLY, LOAD, STEERING, SUPPLYING, api_node
from .packs import CARRIERS, PIPE, given, is_known_as, member, unwired
from .plan import STEER, Verdict
from .prompts import OwnClip, clip_start
from .samplers import GIVES, RESULTS
from .trace import PAIR

TEXT_INPUTS = ("text", "prompt", "user_prompt", "text_g", "text_l", "clip_g", "clip_l", "t5xxl", "llama", "bert", "mt5xl")
"""The names of inputs whose text an encoder turns into conditioning."""
NAMES = {
    **dict.fromkeys(("model", "model_high_noise", "model_low_noise", "refiner_model"), "MODEL"),
    **dict.fromkeys(("base_high", "lightning_high", "lightning_low"), "MODEL"),
    "clip": "CLIP",
    "positive": "CONDITIONING",
    "negative": "CONDITIONING",
    "cond": "CONDITIONING",
    "conditioning": "CONDITIONING",
    "samples": "LATENT",
    "latent": "LATENT",
    "latent_image": "LATENT",
    "guider": "GUIDER",
    "image": "IMAGE",
    "images": "IMAGE",
    "vae": "VAE",
    "text_embeds": "WANVIDEOTEXTEMBEDS",
    "switch": "BOOLEAN",
    "basic_pipe": "BASIC_PIPE",
    "detailer_pipe": "DETAILER_PIPE",
    "pipe": "PIPE_LINE",
    "sdxl_pipe": "PIPE_LINE_SDXL",
    "sdxl_tuple": "SDXL_TUPLE",
    "base_ctx": "RGTHREE_CONTEXT",
    "ctx": "RGTHREE_CONTEXT",
    **dict.fromkeys(TEXT_INPUTS, "STRING"),
}
"""What an input of that name takes. The format keeps no types; numbers at the end of a name do not count, nor what stands
before a point: the third picture of "images" is "images.image2"."""
ENCODERS = ("CLIPTextEncode", "CLIPTextEncodeSDXL", "CLIPTextEncodeFlux", "CLIPTextEncodeSD3", "CLIPTextEncodeHunyuanDiT")
"""Encoders that need a CLIP, also where an export has left out the input since nothing was connected."""
# The number of a wire from a node that the file lacks: no wire has it.
MISSING = -1
# Under `_meta` of Apply: inputs that had no wire before it was put in.
NEW_INPUTS = "new_inputs"
MAX_DIGITS = 18  # by hand; of a node's number: Python reads no endless ones, and ComfyUI counts from one
SLOTS = 256  # by hand: more outputs than a node has; a file may name any number


def as_document(data: Json) -> Document:
    """Return a graph of the same nodes and wires, as the editor would describe it."""
    links: list[list[Any]] = []
    nodes: dict[str, Json] = {}
    data = api_nodes(data)
    kinds: dict[str, dict[int, str]] = {key: {} for key in data}
    for key, node in data.items():
        meta = node.get("_meta")
        sockets: list[Json] = []
        for name, value in _inputs(node).items():
            if start := wire(value):
                origin, kind = Wire(*start), _kind(name)
                if origin.origin in data:
                    known = kinds[str(origin.origin)]
                    known[origin.slot] = kind if kind != "*" else known.get(origin.slot, kind)
                    links.append([len(links), origin.origin, origin.slot, key, len(sockets), kind])
                sockets.append({"name": name, "type": kind, "link": len(links) - 1 if origin.origin in data else MISSING})
        known_inputs = {**({"clip": "CLIP"} if node["class_type"] in ENCODERS else {}), **unwired(node["class_type"])}
        missing = [name for name in known_inputs if name not in _inputs(node)]
        sockets += [{"name": name, "type": known_inputs[name], "link": None} for name in missing]
        nodes[key] = {"id": key, "type": node["class_type"], "inputs": sockets}
        nodes[key]["title"] = meta.get("title") if isinstance(meta, dict) else None
    for key, node in nodes.items():
        known = {**kinds[key], **({0: GIVES[node["type"]]} if node["type"] in GIVES else {})}
        if known.get(1) == "CONDITIONING" and 2 not in known and _passes_a_pair(node):
            known.setdefault(0, "CONDITIONING")
        known |= given(node["type"])
        if _may_sample(node) and (set(known.values()) <= {"*"} or _is_called_sampler(node, known)):
            known[next((slot for slot, kind in known.items() if kind == "*"), max(known, default=-1) + 1)] = "LATENT"
        node["outputs"] = [{"name": "", "type": known.get(slot, "*")} for slot in range(min(max(known, default=-1) + 1, SLOTS))]
    return Document({"nodes": list(nodes.values()), "links": links})


def _inputs(node: Json) -> Json:
    """Return a node's inputs; files made by hand leave them out where there are none."""
    return node.get("inputs") or {}


def _passes_a_pair(node: Json) -> bool:
    """Tell whether a node takes a positive and a negative prompt and no model, which it would give before them."""
    names = {socket["name"] for socket in node["inputs"]}
    return names >= set(PAIR) and "model" not in names


def _may_sample(node: Json) -> bool:
    """Tell whether a node takes a prompt and a model, or a pipe of both: what it gives may then be a picture."""
    kinds = {socket["type"] for socket in node["inputs"]}
    return kinds >= {"MODEL", "CONDITIONING"} or (bool(kinds & set(CARRIERS)) and not is_known_as(node["type"], PIPE))


def _is_called_sampler(node: Json, known: dict[int, str]) -> bool:
    """Tell whether a node is a sampler by its name, and nobody has said that it gives what samplers do."""
    return "sampler" in node["type"].lower() and not set(known.values()) & set(RESULTS)


def _kind(name: str) -> str:
    plain = name.rpartition(".")[2].rstrip("0123456789").rstrip("_")
    if plain not in NAMES and plain.startswith(("positive", "negative", "conditioning_", "cond_")):
        return "CONDITIONING"
    return NAMES.get(plain, NAMES.get(member(plain), "*"))


def insert(data: Json, verdicts: Sequence[Verdict]) -> Json:
    """Return a copy with steering on every sampler that a verdict says to steer."""
    result: Json = copy.deepcopy(data)
    numbers = (part for key in data for part in key.split(":") if part.isdecimal() and len(part) <= MAX_DIGITS)
    last = max(map(int, numbers), default=0)
    made: dict[object, str] = {}

    def put(key: object, type: str, **wires: list[Any]) -> list[Any]:
        nonlocal last
        if key not in made:
            last += 1
            made[key] = str(last)
            result[made[key]] = api_node(type, wires)
        return [made[key], 0]

    for verdict in verdicts:
        if verdict.state != STEER or not isinstance(verdict.source, OwnClip) or verdict.walker is None:
            continue
        clip = verdict.source.wire
        start = clip_start(verdict.walker, verdict.sampler.graph, clip)
        direction = put(LOAD, LOAD)
        aligned = put((ALIGN, start), ALIGN, direction=direction, clip=[clip.origin, clip.slot])
        for place in verdict.places:
            name = inputs(place.node)[place.slot]["name"]
            source = [place.wire.origin, place.wire.slot]
            applied = put((APPLY, wire(source), tuple(aligned)), APPLY, model=source, direction=aligned)
            wired = _inputs(result[place.node["id"]])
            if name not in wired:
                result[applied[0]]["_meta"].setdefault(NEW_INPUTS, []).append(f"{place.node['id']}.{name}")
            wired[name] = applied
    return result


def remove(data: Json) -> tuple[Json, int]:
    """Return a copy without the pack's steering nodes, wires reconnected around them, and how many nodes went.

    Inputs that are null stay: they are empty, and were before.
    """
    result: Json = copy.deepcopy(data)
    nodes = api_nodes(data)
    passing = {key: STEERING[node["class_type"]] for key, node in nodes.items() if node["class_type"] in STEERING}
    new = {place for key in passing for place in _new_inputs(nodes[key])}
    for owner, node in api_nodes(result).items():
        for name, value in list(_inputs(node).items()):
            steps = 0
            while (start := wire(value)) and (through := passing.get(start[0])) and steps <= len(passing):
                value = _inputs(nodes[start[0]]).get(through.input) if start[1] == through.output else None
                steps += 1
            if steps and (value is None or f"{owner}.{name}" in new):
                del node["inputs"][name]
            elif steps:
                node["inputs"][name] = value
    for key in passing:
        del result[key]
    while spare := next((key for key in api_nodes(result) if _is_unused(result, key)), None):
        del result[spare]
    return result, len(data) - len(result)


def _new_inputs(node: Json) -> Sequence[str]:
    """Return the inputs that an Apply node was put before and that had no wire."""
    meta = node.get("_meta")
    noted = meta.get(NEW_INPUTS) if isinstance(meta, dict) else None
    return [place for place in noted if isinstance(place, str)] if isinstance(noted, list) else []


def _is_unused(data: Json, key: str) -> bool:
    starts = (wire(value) for node in api_nodes(data).values() for value in _inputs(node).values())
    return data[key]["class_type"] in SUPPLYING and not any(start[0] == key for start in starts if start)
