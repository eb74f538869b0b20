"""What the workflow editor knows of the pack's nodes is what they are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.comfyui import running_comfyui  # isort: skip

import nodes

own_nodes = running_comfyui.module("safety_steer.workflow.pack_nodes")
WIDGETS = {"COMBO", "FLOAT", "INT", "STRING", "BOOLEAN"}


@pytest.mark.parametrize("type", own_nodes.PACK_NODES)
def test_a_saved_node_is_what_its_schema_says(type: str) -> None:
    schema, own = nodes.NODE_CLASS_MAPPINGS[type].GET_SCHEMA(), own_nodes.PACK_NODES[type]
    assert own.title == schema.display_name
    assert [(item.name, item.kind, item.widget, item.optional) for item in own.inputs] == [
        (item.id, item.get_io_type(), item.get_io_type() in WIDGETS, bool(item.optional)) for item in schema.inputs
    ]
    assert list(own.outputs) == [(item.display_name, item.get_io_type()) for item in schema.outputs]
    defaults = [item.default for item in schema.inputs if item.get_io_type() in WIDGETS]
    assert _typed([item.value for item in own.inputs if item.widget]) == _typed(defaults)


@pytest.mark.parametrize("type", own_nodes.OWN_NODES)
def test_a_new_node_has_the_values_and_sockets_of_its_schema(type: str) -> None:
    schema, node = nodes.NODE_CLASS_MAPPINGS[type].GET_SCHEMA(), own_nodes.saved_node(type, 1, (0, 0), 0)
    defaults = [item.default for item in schema.inputs if item.get_io_type() in WIDGETS]
    assert _typed(node["widgets_values"]) == _typed(defaults)
    assert [socket["name"] for socket in node["inputs"]] == [item.id for item in schema.inputs]
    assert min(node["size"]) > 0


@pytest.mark.parametrize("type", [*own_nodes.STEERING, *own_nodes.SUPPLYING])
def test_every_node_that_is_taken_out_is_there_with_the_input_its_wire_comes_in_by(type: str) -> None:
    schema = nodes.NODE_CLASS_MAPPINGS[type].GET_SCHEMA()
    passage = own_nodes.STEERING.get(type)
    if passage is not None:
        kinds = {item.id: item.get_io_type() for item in schema.inputs}
        assert passage.input in kinds
        if passage.output >= 0:
            assert kinds[passage.input] == schema.outputs[passage.output].get_io_type()


def _typed(values: list[Any]) -> list[tuple[str, str]]:
    return [(type(value).__name__, json.dumps(value)) for value in values]
