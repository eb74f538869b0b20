"""Which nodes of a workflow sample, or may: those a model goes into, alone or in a pipe, and that give what samplers give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .editor.blocks import NOTES
from .graph import Document, Graph, Json, inputs, is_kind, outputs
from .pack_nodes import PACK_NODES
from .packs import HIDDEN, NO_PROMPT, OTHER_PROMPT, OWN_LOOP, OWN_MODEL, PIPE, PROMPT_IN_MODEL, PROVIDERS, is_known_as, member
from .trace import is_pipe

POSITIVE = ("positive", "conditioning", "cond1")
RESULTS = ("LATENT", "GUIDER", "IMAGE", *PROVIDERS)
"""What samplers, guiders and providers give, unlike nodes that train or detect with a model."""
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
"""What samplers give when nothing is connected that would tell, or the file lists no outputs: ComfyUI knows them."""
NEGATIVE = ("neg", "uncond", "empty")
"""How the names of inputs begin that are no prompt to be steered."""
GUIDER = "GUIDER"
GROUPED = ("workflow>", "workflow/")
"""How the types of group nodes of older files begin, before the group's name."""
REFINER = "refiner"
ASIDE = ("negative", REFINER)
"""What is in the names of model inputs that do not draw the positive prompt, or one of their own CLIP."""
FOREIGN = ("MODEL", "MODELS", "PIPE", "PIPELINE")
"""How the types of models end that are not ComfyUI's own."""
HARMLESS = ("UPSCALE_MODEL", "SAM_MODEL", "CLIP_VISION_MODEL", "STYLE_MODEL")
"""How the types of models end that draw nothing."""


@dataclass(frozen=True)
class Sampler:
    """A sampler or guider: its graph, and the slots of its models, of its positive prompt, and of a pipe with both."""

    graph: Graph
    node: Json
    models: tuple[int, ...]
    positive: int | None
    pipe: int | None = None

    @property
    def label(self) -> str:
        """The sampler for people: title or type, id and subgraph."""
        within = f" in {self.graph.name}" if self.graph.name else ""
        return f"{self.node.get('title') or self.node['type']} #{self.node['id']}{within}"

    def socket(self, slot: int) -> dict[str, Any]:
        """Return one of its inputs."""
        return inputs(self.node)[slot]


def find_samplers(document: Document) -> Iterator[Sampler]:
    """Yield what samples, or may, in the root and in every subgraph in use, each once, in file order."""
    for graph in document.graphs.values():
        for node in graph.nodes.values():
            found = None if document.inside(node) or node["type"] in (*PACK_NODES, *NOTES) else _slots(graph, node)
            if found:
                yield Sampler(graph, node, *found)


def _slots(graph: Graph, node: Json) -> tuple[tuple[int, ...], int | None, int | None] | None:
    """Return the slots of a sampler's models, positive conditioning and pipe; None for a node that does not sample."""
    if any(is_known_as(node["type"], kind) for kind in (NO_PROMPT, PIPE, PROMPT_IN_MODEL)):
        return None
    sockets = list(enumerate(inputs(node)))
    models = tuple(
        slot for slot, one in sockets if is_kind(one, "MODEL") and not any(part in str(one.get("name")) for part in ASIDE)
    )
    texts = [slot for slot, one in sockets if is_kind(one, "CONDITIONING") and member(one.get("name")) in POSITIVE]
    pipe = next((slot for slot, one in sockets if is_pipe(one) and graph.is_fed(one)), None)
    positive = texts[0] if texts else None
    if any(is_known_as(node["type"], kind) for kind in (OWN_LOOP, OWN_MODEL, OTHER_PROMPT, HIDDEN)) or _is_foreign(node):
        return models, positive, None
    if not _gives(node):
        return None
    fed = [one for _, one in sockets if graph.is_fed(one)]
    if models and positive is not None:
        return models, positive, pipe
    if pipe is not None:
        return models, positive, pipe
    if not any(is_kind(one, "MODEL") for one in fed):
        return None
    if node["type"].startswith(GROUPED):
        return None
    if any(is_kind(one, GUIDER) for one in fed):
        return models, None, None
    patches = any(is_kind(one, "MODEL") for one in outputs(node))
    prompted = any(is_kind(one, kind) for one in fed for kind in ("CONDITIONING", "CLIP"))
    return None if patches and not prompted else (models, None, None)


def _gives(node: Json) -> bool:
    """Tell whether a node gives what a sampler does; one that lists no outputs is known by its type."""
    return any(is_kind(socket, kind) for kind in RESULTS for socket in outputs(node)) or (
        not outputs(node) and node["type"] in GIVES
    )


def _is_foreign(node: Json) -> bool:
    """Tell whether a node is called a sampler and takes a model that is none of ComfyUI's."""
    types = [str(socket.get("type")).upper() for socket in inputs(node)]
    foreign = [one for one in types if one.endswith(FOREIGN) and one != "MODEL" and not one.endswith(HARMLESS)]
    return bool(foreign) and "sampler" in node["type"].lower() and bool(outputs(node)) and not any(map(is_pipe, inputs(node)))


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
