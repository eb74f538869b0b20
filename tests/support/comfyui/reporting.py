"""A Safety Report put into a graph, and what it found read back."""

from __future__ import annotations

import json
from typing import Any

from . import running_comfyui  # isort: skip
import pytest
from test_queue import node
from test_steering import DEFAULTS

import nodes

KEPT: dict[str, Any] = {}
CATEGORIES = {"weapons", "fire"}


class TinyText:
    """Ends a graph and keeps a text."""

    RETURN_TYPES = ()
    FUNCTION = "keep"
    CATEGORY = "test"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:  # noqa: N802
        return {"required": {"text": ("STRING", {"forceInput": True}), "name": ("STRING", {})}}

    def keep(self, text: str, name: str) -> dict[str, Any]:
        KEPT[name] = text
        return {}


@pytest.fixture(autouse=True)
def _keeper() -> Any:
    KEPT.clear()
    nodes.NODE_CLASS_MAPPINGS["TinyText"] = TinyText
    yield
    del nodes.NODE_CLASS_MAPPINGS["TinyText"]


def with_report(made: dict[str, Any], name: str = "report", sampler: str | None = "sample", **inputs: Any) -> dict[str, Any]:
    """Add a Safety Report to a graph, and keep its data."""
    after = {} if sampler is None else {"after": [sampler, 0]}
    made[name] = node("SafetyReport", report=["apply", 1], **{"theme": "dark", **after, **inputs})
    made[f"{name} data"] = node("TinyText", text=[name, 2], name=name)
    made[f"{name} text"] = node("TinyText", text=[name, 1], name=f"{name} text")
    return made


def reported(name: str = "report") -> list[Any]:
    """Return the reports of the last run, read back from their JSON."""
    library = running_comfyui.module("safety_steer.reports.safety_report").SafetyReport
    return [library.parse(document) for document in json.loads(KEPT[name])["prompts"]]


def measured(log: Any) -> list[Any]:
    library = running_comfyui.module("safety_steer.reports.safety_report")
    return [one for record in log.records() for one in library.measure(record, log.direction)]


def settings(**changes: Any) -> dict[str, Any]:
    return {**DEFAULTS, "preserve_norm": False, **changes}
