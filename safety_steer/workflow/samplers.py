"""Which nodes of a workflow sample: those a model and a positive prompt go into."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .graph import Document, Graph, Json, inputs, is_kind, outputs
from .pack_nodes import OWN_NODES

POSITIVE = ("positive", "conditioning", "cond1")
RESULTS = ("LATENT", "GUIDER", "IMAGE")
"""What samplers and guiders give: with it, nodes that train or detect with a model are told from those that generate."""


@dataclass(frozen=True)
class Sampler:
    """A sampler or guider: its graph, and the slots of its model and of its positive conditioning."""

    graph: Graph
    node: Json
    model: int
    positive: int

    @property
    def label(self) -> str:
        """The sampler for people: title or type, id and subgraph."""
        within = f" in {self.graph.name}" if self.graph.name else ""
        return f"{self.node.get('title') or self.node['type']} #{self.node['id']}{within}"

    def socket(self, slot: int) -> dict[str, Any]:
        """Return one of its inputs."""
        return inputs(self.node)[slot]


def find_samplers(document: Document) -> Iterator[Sampler]:
    """Yield the samplers and guiders of the root and of every subgraph in use, each once, in file order."""
    for graph in document.graphs.values():
        for node in graph.nodes.values():
            found = None if document.inside(node) or node["type"] in OWN_NODES else _slots(node)
            if found:
                yield Sampler(graph, node, *found)


def _slots(node: Json) -> tuple[int, int] | None:
    """Return the slots of a sampler's model and positive conditioning; None for a node that does not sample."""
    gives = any(is_kind(socket, kind) for kind in RESULTS for socket in outputs(node))
    return sampling_slots(node) if gives else None


def sampling_slots(node: Json) -> tuple[int, int] | None:
    """Return the slots of a node's model and positive conditioning; None without both, and for a node that gives a model."""
    if any(is_kind(socket, "MODEL") for socket in outputs(node)):
        return None
    models = [slot for slot, socket in enumerate(inputs(node)) if is_kind(socket, "MODEL")]
    models.sort(key=lambda slot: inputs(node)[slot].get("name") != "model")
    texts = [
        slot for slot, socket in enumerate(inputs(node)) if is_kind(socket, "CONDITIONING") and socket.get("name") in POSITIVE
    ]
    return (models[0], texts[0]) if models and texts else None
