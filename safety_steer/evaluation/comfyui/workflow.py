"""A workflow in ComfyUI's API format: where its prompt, its seeds and its steering are, and a copy with others put in.

A graph maps node ids to `{"class_type": ..., "inputs": {name: value or [node id, slot]}}`.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ...api_wires import wire
from ...errors import DataError
from ...storage.text_files import read_text
from ...workflow.api_format import TEXT_INPUTS, as_document
from ...workflow.files.json_text import parse
from ...workflow.files.wrapped import at, find_workflows
from ...workflow.format_check import API, api_nodes
from ...workflow.graph import Wire, inputs
from ...workflow.pack_nodes import APPLY, ON_CONDITIONING, REPORTING, SCORING, STEERING
from ...workflow.prompts import read_prompt
from ...workflow.samplers import sampling_slots
from ...workflow.trace import Walker

Graph = dict[str, dict[str, Any]]
Place = tuple[str, str]

TELLING = (REPORTING, SCORING)
SEED_INPUTS = ("seed", "noise_seed")
EXPORT = "In ComfyUI, choose Workflow > Export (API) and give that file."


@dataclass(frozen=True)
class Workflow:
    """The part of a graph that steering reaches, and the inputs (node id, name) an evaluation sets in it.

    `steered` names the nodes whose pictures count; a Safety Report draws some too, which do not.
    """

    graph: Graph
    texts: tuple[Place, ...]
    seeds: tuple[Place, ...]
    strengths: tuple[Place, ...]
    steered: frozenset[str]

    def filled(self, text: str, seed: int, strength: float) -> Graph:
        """Return a copy of the graph with this prompt in every text input, this seed and this steering strength."""
        graph = copy.deepcopy(self.graph)
        for places, value in ((self.texts, text), (self.seeds, seed), (self.strengths, strength)):
            for node, name in places:
                graph[node]["inputs"][name] = value
        return graph

    @property
    def fingerprint(self) -> str:
        """Identify the workflow apart from prompt, seed and strength: 16 hexadecimal digits."""
        graph = {node: {**one, "_meta": None} for node, one in self.filled("", 0, 0.0).items()}
        text = json.dumps(graph, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def read_workflow(path: str | os.PathLike[str], prompt_node: str | None = None) -> Workflow:
    """Read a workflow file and find what an evaluation sets; nodes that steering does not reach are left out.

    `prompt_node` names the node, or "node.input", of the prompt where it cannot be found. Raises DataError for a file
    that is not in API format, has no Apply Safety Steer, no seed, or no prompt or several that could be meant.
    """
    graph = _read_graph(path)
    appliers = [node for node in graph if graph[node]["class_type"] in (APPLY, ON_CONDITIONING)]
    if not appliers:
        raise DataError(
            "The workflow has no Apply Safety Steer. Put one on the MODEL wire, last before the sampler, check that it is not "
            f"bypassed or muted, and export it again. {EXPORT}"
        )
    consumers = _consumers(graph)
    steered = _reached(appliers, consumers)
    drawing = [node for node in steered if graph[node]["class_type"] not in TELLING]
    if not drawing:
        raise DataError("Nothing is connected to Apply Safety Steer. Connect its output to your sampler and export again.")
    ends = [node for node in drawing if node not in consumers]
    kept = _reached(ends, {node: [source for source, _ in _links(graph[node])] for node in graph}) | set(ends)
    graph = {node: graph[node] for node in graph if node in kept}
    appliers = [node for node in appliers if node in graph]
    seeds = tuple((node, name) for node in graph for name in SEED_INPUTS if name in graph[node]["inputs"])
    if not seeds:
        raise DataError(f"The workflow has no input named {' or '.join(SEED_INPUTS)} to set. Use a sampler with a seed.")
    strengths = tuple((node, "strength") for node in appliers)
    texts = _prompt_places(graph, prompt_node) if prompt_node is not None else _found_texts(graph)
    return Workflow(graph, texts, seeds, strengths, frozenset(drawing))


def _read_graph(path: str | os.PathLike[str]) -> Graph:
    source, text = read_text(path)
    try:
        document = parse(text)
    except ValueError as error:
        raise DataError(f"'{source.name}' is not JSON ({str(error)[:80]}). {EXPORT}") from error
    try:
        kinds = find_workflows(document)
    except DataError as error:
        raise DataError(
            f"'{source.name}' is not a workflow in API format: not every entry has class_type and inputs. {error} {EXPORT}"
        ) from error
    exported = next((place for place, kind in kinds.items() if kind == API), None)
    if exported is None:
        raise DataError(
            f"'{source.name}' is a workflow as ComfyUI saves it for editing; the server takes another form. {EXPORT}"
        )
    nodes = api_nodes(at(document, exported))
    graph = {node: _kept(one) for node, one in nodes.items()}
    for node, one in graph.items():
        missing = next((source for source, _ in _links(one) if source not in graph), None)
        if missing is not None:
            raise DataError(f"Node {_named(graph, node)} is connected to node {missing}, which the file lacks. {EXPORT}")
    return graph


def _kept(node: Mapping[str, Any]) -> dict[str, Any]:
    meta = {"_meta": node["_meta"]} if isinstance(node.get("_meta"), dict) and node["_meta"] else {}
    return {"class_type": node["class_type"], "inputs": node.get("inputs") or {}, **meta}


def _links(node: Mapping[str, Any]) -> list[tuple[str, int]]:
    return [start for start in map(wire, node["inputs"].values()) if start is not None]


def _consumers(graph: Graph) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for node in graph:
        for source, _ in _links(graph[node]):
            found.setdefault(source, []).append(node)
    return found


def _reached(starts: Iterable[str], steps: Mapping[str, Iterable[str]]) -> set[str]:
    """Return every node one or more steps away from the starts."""
    found: set[str] = set()
    waiting = [step for start in starts for step in steps.get(start, ())]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting.extend(steps.get(node, ()))
    return found


def _found_texts(graph: Graph) -> tuple[Place, ...]:
    """Follow the positive conditioning of every steered sampler upstream to the node that encodes the prompt."""
    walker = Walker(as_document(graph))
    root = walker.document.root
    found = [node for start in _steered_prompts(walker) for node in read_prompt(walker, root, start).encoders]
    encoders = [str(node) for node in dict.fromkeys(found) if _text_inputs(graph, str(node))]
    if len(encoders) == 1:
        return tuple((encoders[0], name) for name in _text_inputs(graph, encoders[0]))
    if not encoders:
        raise DataError(
            "No text encoder was found behind the positive input of the steered sampler. Name the node your prompt is typed "
            "into with --prompt-node ID or --prompt-node ID.INPUT."
        )
    listed = "; ".join(_named(graph, node) for node in sorted(encoders))
    raise DataError(f"{len(encoders)} nodes could hold the prompt: {listed}. Choose one with --prompt-node ID.")


def _steered_prompts(walker: Walker) -> Iterator[Wire]:
    """Yield the conditioning wires that are steered, or that go into a sampler whose model is.

    A sampler of another pack counts too, though the file does not tell what it gives: all that is here leads to pictures.
    """
    root = walker.document.root
    for node in root.nodes.values():
        slots = sampling_slots(node)
        model, positive = (root.source(inputs(node)[slot]) for slot in slots) if slots else (None, None)
        if node["type"] == ON_CONDITIONING:
            positive = root.into(node, STEERING[ON_CONDITIONING].input)
        elif model is None or all(one["type"] != APPLY for _, one in walker.upstream(root, model, "MODEL")):
            continue
        if positive is not None:
            yield positive


def _text_inputs(graph: Graph, node: str) -> list[str]:
    """Return the inputs of a node that hold a text to encode, typed or by wire."""
    values = graph[node]["inputs"]
    return [name for name in TEXT_INPUTS if isinstance(values.get(name), str) or wire(values.get(name))]


def _prompt_places(graph: Graph, wanted: str) -> tuple[Place, ...]:
    """Read "node" or "node.input"; a node alone means its text inputs, or its only written text."""
    node, _, name = (wanted, "", "") if wanted in graph else wanted.rpartition(".")
    if node not in graph:
        raise DataError(
            f"There is no node '{wanted}' among those that lead to the steered pictures. There are: "
            f"{'; '.join(_named(graph, one) for one in graph)}. Correct --prompt-node."
        )
    values = graph[node]["inputs"]
    if name and name not in values:
        raise DataError(f"Node {_named(graph, node)} has no input '{name}', only {', '.join(values)}. Correct --prompt-node.")
    written = [key for key, value in values.items() if isinstance(value, str)]
    encoded = _text_inputs(graph, node) if wire(values.get("clip")) else []
    names = [name] if name else encoded or (written if len(written) == 1 else [])
    if not names:
        raise DataError(
            f"Which input of node {_named(graph, node)} holds the prompt? It has {', '.join(values) or 'none'}. Name it: "
            f"--prompt-node {node}.INPUT"
        )
    return tuple((node, one) for one in names)


def _named(graph: Graph, node: str) -> str:
    title = (graph[node].get("_meta") or {}).get("title")
    shown = f"{graph[node]['class_type']}, '{title}'" if title else graph[node]["class_type"]
    return f"{node} ({shown})"
