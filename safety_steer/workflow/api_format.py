"""Workflows in the API format: seen as a graph with types guessed from names, and changed in their own form."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from .graph import Document, Json, Wire
from .pack_nodes import ALIGN, APPLY, LOAD, STEERING, SUPPLYING, api_node
from .plan import STEER, Verdict
from .prompts import CLIP, OwnClip

NAMES = {
    "model": "MODEL",
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
    "text": "STRING",
    "prompt": "STRING",
}
"""What an input of that name takes. The format keeps no types; numbers at the end of a name do not count, nor what stands
before a point: the third picture of "images" is "images.image2"."""
GIVES = {
    "KSampler": "LATENT",
    "KSamplerAdvanced": "LATENT",
    "SamplerCustom": "LATENT",
    "CFGGuider": "GUIDER",
    "BasicGuider": "GUIDER",
    "DualCFGGuider": "GUIDER",
    "LTXVDualCFGGuider": "GUIDER",
    "DualModelGuider": "GUIDER",
    "PerpNegGuider": "GUIDER",
}
"""What samplers give when nothing is connected that would tell."""
MISSING = -1
"""The number of a wire from a node that the file lacks."""
SLOTS = 256


def as_document(data: Json) -> Document:
    """Return a graph of the same nodes and wires, as the editor would describe it."""
    links: list[list[Any]] = []
    nodes: dict[str, Json] = {}
    kinds: dict[str, dict[int, str]] = {key: {} for key in data}
    for key, node in data.items():
        meta = node.get("_meta")
        sockets: list[Json] = []
        for name, value in node["inputs"].items():
            if _is_wire(value):
                origin, kind = Wire(str(value[0]), value[1]), _kind(name)
                if origin.origin in data:
                    known = kinds[str(origin.origin)]
                    known[origin.slot] = kind if kind != "*" else known.get(origin.slot, kind)
                    links.append([len(links), origin.origin, origin.slot, key, len(sockets), kind])
                sockets.append({"name": name, "type": kind, "link": len(links) - 1 if origin.origin in data else MISSING})
        nodes[key] = {"id": key, "type": node["class_type"], "inputs": sockets}
        nodes[key]["title"] = meta.get("title") if isinstance(meta, dict) else None
    for key, node in nodes.items():
        known = {**kinds[key], **({0: GIVES[node["type"]]} if node["type"] in GIVES else {})}
        node["outputs"] = [{"name": "", "type": known.get(slot, "*")} for slot in range(min(max(known, default=-1) + 1, SLOTS))]
    return Document({"nodes": list(nodes.values()), "links": links})


def _kind(name: str) -> str:
    return NAMES.get(name.rpartition(".")[2].rstrip("0123456789").rstrip("_"), "*")


def insert(data: Json, verdicts: Sequence[Verdict]) -> Json:
    """Return a copy with steering on every sampler that a verdict says to steer."""
    result: Json = copy.deepcopy(data)
    last = max((int(part) for key in data for part in key.split(":") if part.isdecimal()), default=0)
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
        sampler = verdict.sampler
        name = sampler.socket(sampler.model)["name"]
        holder = result[sampler.node["id"]]["inputs"]
        clip = verdict.source.wire
        start = verdict.walker.plain(sampler.graph, clip, CLIP)
        direction = put(LOAD, LOAD)
        aligned = put((ALIGN, start), ALIGN, direction=direction, clip=[clip.origin, clip.slot])
        source = holder[name]
        model = Wire(str(source[0]), source[1])
        holder[name] = put((APPLY, model, tuple(aligned)), APPLY, model=source, direction=aligned)
    return result


def remove(data: Json) -> tuple[Json, int]:
    """Return a copy without the pack's steering nodes, wires reconnected around them, and how many nodes went."""
    result: Json = copy.deepcopy(data)
    passing = {key: STEERING[node["class_type"]] for key, node in data.items() if node["class_type"] in STEERING}
    for node in result.values():
        for name, value in list(node["inputs"].items()):
            steps = 0
            while _is_wire(value) and (through := passing.get(str(value[0]))) and steps <= len(passing):
                value = data[str(value[0])]["inputs"].get(through.input) if value[1] == through.output else None
                steps += 1
            if value is None:
                del node["inputs"][name]
            else:
                node["inputs"][name] = value
    for key in passing:
        del result[key]
    while spare := next((key for key in result if _is_unused(result, key)), None):
        del result[spare]
    return result, len(data) - len(result)


def _is_unused(data: Json, key: str) -> bool:
    wires = (value for node in data.values() for value in node["inputs"].values() if _is_wire(value))
    return data[key]["class_type"] in SUPPLYING and not any(str(wire[0]) == key for wire in wires)


def _is_wire(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str | int)
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
    )
