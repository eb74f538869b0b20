"""How versions of ComfyUI differ where the tests meet them: executors, widgets of nodes, and what a CLIP_VISION is made of.

0.3.64 gives its executor the size of a cache, 0.8.0 arguments of one, and 0.33.0 wants one more of them. In 0.33.0 a widget can
bring further widgets, by what is chosen in it, and nodes have widgets that workflows saved before do not know.
"""

from __future__ import annotations

import inspect
import json
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
GIGABYTES_KEPT = {"lru": 0, "ram": 0, "ram_inactive": 0}

Inputs = Mapping[str, Mapping[str, Any]]


def executor(execution: Any, server: Any) -> Any:
    """Make a PromptExecutor with the cache that a server has by default in the oldest version."""
    newer = "cache_args" in inspect.signature(execution.PromptExecutor.__init__).parameters
    size: dict[str, Any] = {"cache_args": GIGABYTES_KEPT} if newer else {"cache_size": 0}
    return execution.PromptExecutor(server, cache_type=execution.CacheType.CLASSIC, **size)


def clip_vision(config: Mapping[str, Any]) -> Any:
    """Make a CLIP_VISION of ComfyUI's class: its newest version takes a configuration, versions before a file of one."""
    import comfy.clip_vision

    kind = comfy.clip_vision.ClipVisionModel
    if "json_config" not in inspect.getsource(kind.__init__) or "open(" not in inspect.getsource(kind.__init__):
        return kind(config)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.json"
        file.write_text(json.dumps(dict(config)), encoding="utf-8")
        return kind(str(file))


def widgets(types: Inputs, values: list[Any]) -> dict[str, Any]:
    """Name saved widget values by a node's inputs, as the front end does; what was not saved has its default."""
    waiting = iter(values)
    named = dict(_named(types, waiting, ""))
    left = list(waiting)
    assert not left, f"more widget values than widgets: {left}"
    return named


def _named(types: Inputs, values: Iterator[Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for name, definition in {**types.get("required", {}), **types.get("optional", {})}.items():
        kind, options = definition[0], definition[1] if len(definition) > 1 else {}
        if options.get("hidden"):
            continue
        if kind == DYNAMIC_COMBO:
            chosen = next(values, options["options"][0]["key"])
            yield prefix + name, chosen
            [inputs] = [option["inputs"] for option in options["options"] if option["key"] == chosen]
            yield from _named(inputs, values, f"{prefix}{name}.")
        elif isinstance(kind, list) or kind in WIDGETS:
            yield prefix + name, next(values) if "default" not in options else next(values, options["default"])
            if options.get("control_after_generate"):
                # A seed is followed by its control.
                next(values)
