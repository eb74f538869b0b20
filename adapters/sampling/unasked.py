"""Samplers that ran behind Apply Safety Steer and never asked it: those with a loop of their own, past ComfyUI's wrappers.

Such a sampler takes a steered model and calls its layers itself, so that no wrapper hears of it. But ComfyUI tells a progress
handler of a run which node starts and which is done. A node that takes the model of an Apply node and a prompt, gives what
samplers give and was done without a call to any of this pack's wrappers is named: on the Apply node, in the log and in the
report.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from typing import Any

from comfy_execution.progress import ProgressHandler, add_progress_handler, get_progress_state

from ...safety_steer.api_wires import wire
from ...safety_steer.workflow.packs import CARRIERS, NO_PROMPT, OWN_LOOP, PIPE, PROVIDERS, is_known_as
from .. import node_text
from ..queued_prompt import Graph, same_inputs

NAME = "safety_steer"
APPLY = "ApplySafetySteer"
RESULTS = ("LATENT", "IMAGE", "VIDEO", "AUDIO")
PROMPTS = ("CONDITIONING", "CLIP", "GUIDER")
ANY = "*"
MODELS = ("MODEL", "GUIDER", ANY, *CARRIERS, *PROVIDERS)
KEPT = 256  # by hand; samplers that were not asked, of all runs
SAID = (
    "not steered: {} ran without asking Safety Steer: it samples in a loop of its own, a node on the way dropped what Apply "
    "Safety Steer added to the model, or there was nothing to sample. Put Apply Safety Steer (Conditioning) on the wire into "
    "its positive prompt instead"
)

_calls = count(1)
_heard: deque[int] = deque([0], maxlen=1)
_unasked: OrderedDict[str, str] = OrderedDict()


def asked() -> None:
    """Note that a wrapper of this pack was called."""
    _heard.append(next(_calls))


def watch_run() -> None:
    """Watch the samplers of the run that is about to start, or has; once a run."""
    if not isinstance(get_progress_state().handlers.get(NAME), Watch):
        add_progress_handler(Watch())


def with_notices(apply_id: str | None, text: str) -> str:
    """Return what an Apply node says of a sampler, and behind it which samplers of this run it did not reach."""
    watch = get_progress_state().handlers.get(NAME)
    return watch.joined(str(apply_id), text) if isinstance(watch, Watch) else text


def notices(graph: Graph, samplers: Iterable[str]) -> list[str]:
    """Say which nodes of a queued graph sampled last without asking; one line each."""
    found = [_unasked.get(same_inputs(graph, sampler)) for sampler in samplers]
    return [line for line in found if line is not None]


class Watch(ProgressHandler):
    """What is heard of the nodes of one run: the last wrapper call before each start, and what each Apply node says."""

    def __init__(self) -> None:
        """Hear of nothing yet."""
        super().__init__(NAME)
        self._registry: Any = None
        self._started: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        self._lines: dict[str, list[str]] = {}

    def set_registry(self, registry: Any) -> None:
        """Take the run's own registry, which knows its graph."""
        self._registry = registry

    def start_handler(self, node_id: str, *_: Any) -> None:
        """Note when a node starts; one that was cached never does."""
        self._started.setdefault(node_id, _heard[-1])

    def finish_handler(self, node_id: str, *_: Any) -> None:
        """Name a sampler that is done and asked nobody."""
        before = self._started.pop(node_id, None)
        if before is None:
            return
        known = self._registry.dynprompt
        graph = {name: known.get_node(name) for name in known.all_node_ids()}
        apply_ids = list(behind(graph, node_id)) if is_sampler(graph, node_id) else []
        if not apply_ids:
            return
        key = same_inputs(graph, node_id)
        _unasked.pop(key, None)
        if _heard[-1] != before:
            return
        title = graph[node_id].get("_meta", {}).get("title") or graph[node_id]["class_type"]
        line = SAID.format(f"{title} (node {known.get_display_node_id(node_id)})")
        _unasked[key] = line
        while len(_unasked) > KEPT:
            _unasked.popitem(last=False)
        node_text.LOGGER.warning("Safety Steer: %s", line)
        for apply_id in apply_ids:
            self._lines.setdefault(apply_id, []).append(line)
            node_text.put(known.get_display_node_id(apply_id), self.joined(apply_id, self._texts.get(apply_id, "")))

    def joined(self, apply_id: str, text: str) -> str:
        """Keep what an Apply node said last, and return it with the samplers that it did not reach."""
        self._texts[apply_id] = text
        return "\n".join(filter(None, (text, *self._lines.get(apply_id, []))))


def is_sampler(graph: Graph, node: str) -> bool:
    """Say whether a node gives what samplers give and takes a prompt, by the types of its wires."""
    type = graph[node]["class_type"]
    if type == APPLY or is_known_as(type, NO_PROMPT) or is_known_as(type, PIPE):
        return False
    if is_known_as(type, OWN_LOOP):
        return True
    given = _gives(type)
    # What gives a model and no picture prepares one for a sampler, with a latent to begin with.
    if not any(kind in RESULTS for kind in given) or ("MODEL" in given and "IMAGE" not in given):
        return False
    return any(_kind(graph, origin, slot) in (*PROMPTS, *CARRIERS) for origin, slot in _wires(graph, node))


def behind(graph: Graph, node: str) -> Iterator[str]:
    """Yield the Apply nodes whose model comes to a node, itself or in a guider or a pipe; each once."""
    waiting, seen = _wires(graph, node), set[tuple[str, int]]()
    while waiting:
        origin, slot = waiting.pop()
        if (origin, slot) in seen or _kind(graph, origin, slot) not in MODELS:
            continue
        seen.add((origin, slot))
        if graph[origin]["class_type"] == APPLY:
            yield origin
        waiting += _wires(graph, origin)


def _wires(graph: Graph, node: str) -> list[tuple[str, int]]:
    found = [wire(value) for value in graph[node].get("inputs", {}).values()]
    return [(origin, slot) for one in found if one is not None for origin, slot in [one] if origin in graph]


def _kind(graph: Graph, node: str, slot: int) -> str:
    given = _gives(graph[node]["class_type"])
    return given[slot] if slot < len(given) else ANY


def _gives(type: str) -> tuple[str, ...]:
    """Return the types of what a node gives, as ComfyUI knows it."""
    # Looked up: a pack's own `nodes` would be imported by that name.
    known: Mapping[str, Any] = getattr(sys.modules.get("nodes"), "NODE_CLASS_MAPPINGS", {})
    given = getattr(known.get(type), "RETURN_TYPES", ())
    return tuple(map(str, given)) if isinstance(given, list | tuple) else ()
