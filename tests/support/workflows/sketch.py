"""Small workflows written down in a line a node, and a reader of wirings that shares nothing with the code under test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
GRID = 500
Place = tuple[str, int]
Expected = dict[str, tuple[Place, Place]]  # by sampler, where its model and its CLIP come from


def node(number: int, type: str, takes: str = "", gives: str = "", **more: Any) -> Json:
    """Write a node: "model:MODEL<4.0 positive:CONDITIONING" takes wire 4.0 into its first input, nothing into its second."""
    return {"id": number, "type": type, "takes": takes.split(), "gives": gives.split(), **more}


def subgraph(key: str, takes: str, gives: str, *nodes: Json, **more: Any) -> Json:
    """Write a subgraph: wires from its own inputs are -10.0, -10.1, ...; what it gives names the wires inside."""
    return {"id": key, "takes": takes.split(), "gives": gives.split(), "nodes": nodes, **more}


def place(name: str, *takes: str, gives: str = "LATENT", number: int = 10) -> Json:
    """A node that stands for a subgraph."""
    return node(number, name, " ".join(takes), gives)


def workflow(*nodes: Json, subgraphs: tuple[Json, ...] = (), version: float = 0.4) -> Json:
    """Build the JSON the editor would save."""
    data: Json = {"id": "11111111-2222-3333-4444-555555555555", "revision": 0}
    graph, last_node, last_link = _graph(nodes, objects=version == 1)
    if version == 1:
        data["state"] = {"lastGroupId": 0, "lastNodeId": last_node, "lastLinkId": last_link, "lastRerouteId": 0}
    else:
        data |= {"last_node_id": last_node, "last_link_id": last_link}
    data |= {**graph, "groups": []}
    if subgraphs:
        data["definitions"] = {"subgraphs": [_definition(one) for one in subgraphs]}
    return {**data, "config": {}, "extra": {"ds": {"scale": 1, "offset": [0, 0]}}, "version": version}


def _split(text: str) -> tuple[str, str, str]:
    named, _, wire = text.partition("<")
    name, _, kind = named.partition(":")
    return name, kind or name, wire


def _graph(nodes: tuple[Json, ...], objects: bool, ends: tuple[list[str], list[str]] = ([], [])) -> tuple[Json, int, int]:
    saved, links = [], []
    for place, one in enumerate(nodes):
        sockets = [{"name": name, "type": kind, "link": None} for name, kind, _ in map(_split, one["takes"])]
        given = [{"name": name, "type": kind, "links": None} for name, kind, _ in map(_split, one["gives"])]
        more = {key: value for key, value in one.items() if key not in ("takes", "gives", "id", "type")}
        saved.append({"id": one["id"], "type": one["type"], "pos": [GRID * place, 0], "size": [300, 200], "flags": {}})
        saved[-1] |= {"order": place, "mode": 0, "inputs": sockets, "outputs": given, "properties": {}, **more}
    by_id = {one["id"]: one for one in saved}
    inner = [{"name": name, "type": kind, "linkIds": []} for name, kind, _ in map(_split, ends[0])]
    outer = [{"name": name, "type": kind, "linkIds": []} for name, kind, _ in map(_split, ends[1])]
    wanted = [(one["id"], slot, *_split(text)) for one in nodes for slot, text in enumerate(one["takes"])]
    wanted += [(-20, slot, *_split(text)) for slot, text in enumerate(ends[1])]
    for target, slot, _, kind, wire in wanted:
        if not wire:
            continue
        number, (origin, origin_slot) = len(links) + 1, map(int, wire.split("."))
        links.append([number, origin, origin_slot, target, slot, kind])
        if origin == -10:
            inner[origin_slot]["linkIds"].append(number)
        else:
            by_id[origin]["outputs"][origin_slot]["links"] = [*(by_id[origin]["outputs"][origin_slot]["links"] or []), number]
        if target == -20:
            outer[slot]["linkIds"].append(number)
        else:
            by_id[target]["inputs"][slot]["link"] = number
    names = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
    written = [dict(zip(names, link, strict=True)) for link in links] if objects else links
    graph: Json = {"nodes": saved, "links": written}
    if ends[0] or ends[1]:
        graph = {"inputs": inner, "outputs": outer, **graph}
    return graph, max((one["id"] for one in nodes), default=0), len(links)


def _definition(one: Json) -> Json:
    graph, last_node, last_link = _graph(one["nodes"], True, (one["takes"], one["gives"]))
    state = {"lastGroupId": 0, "lastNodeId": last_node, "lastLinkId": last_link, "lastRerouteId": 0}
    ends = {
        "inputNode": {"id": -10, "bounding": [-400, 0, 120, 100]},
        "outputNode": {"id": -20, "bounding": [5000, 0, 120, 60]},
    }
    more = {key: value for key, value in one.items() if key not in ("takes", "gives", "nodes", "id")}
    return {"id": one["id"], "version": 1, "state": state, "name": f"the {one['id']}", **ends, **graph, "widgets": [], **more}


CHECKPOINT = ("CheckpointLoaderSimple", "", "MODEL CLIP VAE")


def loader(number: int = 1) -> Json:
    """A checkpoint: model .0, clip .1, vae .2."""
    return node(number, *CHECKPOINT)


def text(number: int, clip: str) -> Json:
    """A text encoder."""
    return node(number, "CLIPTextEncode", f"clip:CLIP<{clip}", "CONDITIONING")


def sampler(number: int, model: str, positive: str, **more: Any) -> Json:
    """A KSampler; without a wire an input is left open."""
    wires = {"model:MODEL": model, "positive:CONDITIONING": positive, "negative:CONDITIONING": ""}
    takes = " ".join(f"{name}<{wire}" if wire else name for name, wire in wires.items())
    return node(number, "KSampler", takes, "LATENT", **more)


def plain() -> Json:
    """The smallest workflow with everything."""
    return workflow(loader(), text(2, "1.1"), sampler(3, "1.0", "2.0"), node(4, "VAEDecode", "samples:LATENT<3.0", "IMAGE"))


# What a workflow's wires mean, read in the simplest way: a node is named by its path, such as 85/77.


class Wiring:
    """Follows wires through subgraphs and reroutes to the node and slot they start at."""

    def __init__(self, data: Json) -> None:
        self.definitions = {one["id"]: one for one in data.get("definitions", {}).get("subgraphs", [])}
        self.graphs: dict[str, tuple[Json, tuple[str, Json] | None]] = {}
        self._walk(data, "", None)

    def _walk(self, graph: Json, path: str, holder: tuple[str, Json] | None) -> None:
        self.graphs[path] = (graph, holder)
        for one in graph["nodes"]:
            if one["type"] in self.definitions:
                self._walk(self.definitions[one["type"]], f"{path}{one['id']}/", (path, one))

    def nodes(self) -> Iterator[tuple[str, Json]]:
        """Yield every node that would run, by path."""
        for path, (graph, _) in self.graphs.items():
            yield from ((f"{path}{one['id']}", one) for one in graph["nodes"] if one["type"] not in self.definitions)

    def node(self, path: str) -> Json:
        """Return a node by its path."""
        within, _, number = path.rpartition("/")
        graph = self.graphs[within + "/" if within else ""][0]
        return next(one for one in graph["nodes"] if str(one["id"]) == number)

    def source(self, path: str, name: str) -> Place | None:
        """Return the node and slot that an input's wire really starts at."""
        socket = next((one for one in self.node(path)["inputs"] if one["name"] == name), None)
        within = path.rpartition("/")[0]
        return self._start(within + "/" if within else "", socket and socket.get("link"))

    def _start(self, path: str, number: int | None) -> Place | None:
        graph, holder = self.graphs[path]
        fields = (link if isinstance(link, list) else list(link.values()) for link in graph["links"])
        link = next((one for one in fields if one[0] == number), None)
        if number is None or link is None:
            return None
        origin, slot = link[1], link[2]
        if origin == -10 and holder:
            name = graph["inputs"][slot]["name"]
            socket = next((one for one in holder[1]["inputs"] if one["name"] == name), None)
            return self._start(holder[0], socket and socket["link"])
        found = next(one for one in graph["nodes"] if one["id"] == origin)
        if found["type"] == "Reroute":
            return self._start(path, found["inputs"][0]["link"])
        if found["type"] in self.definitions:
            inner = self.definitions[found["type"]]
            name = found["outputs"][slot]["name"]
            place = next(index for index, one in enumerate(inner["outputs"]) if one["name"] == name)
            end = next((one for one in inner["links"] if (one["target_id"], one["target_slot"]) == (-20, place)), None)
            return self._start(f"{path}{origin}/", end and end["id"])
        return f"{path}{origin}", slot

    def steered(self) -> dict[str, tuple[Place | None, Place | None]]:
        """Return, for every node whose model comes from Apply: where that model and the direction's CLIP come from."""
        found = {}
        for path, one in self.nodes():
            model = self.source(path, "model")
            if one["type"] == "ApplySafetySteer" or not model or self.node(model[0])["type"] != "ApplySafetySteer":
                continue
            align = self.source(model[0], "direction")
            assert align
            assert self.node(align[0])["type"] == "AlignSafetyDirection", path
            load = self.source(align[0], "direction")
            assert load
            assert self.node(load[0])["type"] == "LoadSafetyDirection", path
            found[path] = (self.source(model[0], "model"), self.source(align[0], "clip"))
        return found
