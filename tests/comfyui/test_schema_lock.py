"""Ids, inputs and outputs of the nodes are a public format: workflows that people saved and shared rely on them."""

from __future__ import annotations

import copy
import json
from typing import Any

from support.comfyui import running_comfyui  # isort: skip
import pytest
from support.comfyui import public_schema

LOCKED: dict[str, Any] = json.loads(public_schema.LOCK.read_text(encoding="utf-8"))
TOLD: dict[str, Any] = json.loads(public_schema.ENGLISH.read_text(encoding="utf-8"))
WRITE = "`PYTHONPATH=tests python -m support.comfyui.public_schema --write` (see docs/versioning.md)"


def schemas() -> list[Any]:
    return [node.define_schema() for node in public_schema.node_classes()]


def test_nothing_a_saved_workflow_relies_on_has_changed() -> None:
    found = public_schema.broken(LOCKED, {schema.node_id: public_schema.lock_of(schema) for schema in schemas()})
    assert not found, "\n".join(
        ["Saved workflows rely on these, they are a public format. Append, or make a new node (docs/versioning.md).", *found]
    )


def test_what_is_new_is_locked_too() -> None:
    found = {schema.node_id: public_schema.lock_of(schema) for schema in schemas()}
    assert found == LOCKED, f"Something is new. When it is meant to stay for ever, add it with {WRITE}."


def test_the_english_texts_are_those_of_the_nodes() -> None:
    found = {schema.node_id: public_schema.texts_of(schema) for schema in schemas()}
    assert found == TOLD, f"Write the English texts anew with {WRITE}, and change the other languages in locales/ with them."


def changed(**changes: Any) -> dict[str, Any]:
    """Return the lock with other values in the strength input of Apply Safety Steer."""
    lock = copy.deepcopy(LOCKED)
    [strength] = [item for item in lock["ApplySafetySteer"]["inputs"] if item["name"] == "strength"]
    strength.update(changes)
    return lock


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"name": "force"}, "is gone"),
        ({"default": 0.5}, "had default 1.0 and has 0.5"),
        ({"type": "INT"}, "had type 'FLOAT' and has 'INT'"),
        ({"max": 5.0}, "allowed 0.0 to 10.0 and allows 0.0 to 5.0"),
    ],
)
def test_the_lock_notices_a_change(changes: dict[str, Any], said: str) -> None:
    [found] = public_schema.broken(LOCKED, changed(**changes))
    assert found.startswith("ApplySafetySteer: the input strength ")
    assert said in found


def test_the_lock_notices_what_is_missing_moved_or_required() -> None:
    moved = copy.deepcopy(LOCKED)
    inputs = moved["ApplySafetySteer"]["inputs"]
    inputs[2], inputs[3] = inputs[3], inputs[2]
    assert len(public_schema.broken(LOCKED, moved)) == 2

    less = copy.deepcopy(LOCKED)
    del less["SafetyScore"]
    less["AlignSafetyDirection"]["inputs"][2]["options"] = ["ridge", "mlp", "svd"]
    less["ApplySafetySteer"]["inputs"][-1]["optional"] = False
    less["LoadDemoGenerator"]["outputs"].pop()
    assert [said.split(" ")[0] for said in public_schema.broken(LOCKED, less)] == [
        "AlignSafetyDirection:", "ApplySafetySteer:", "LoadDemoGenerator:", "the",
    ]  # fmt: skip

    more = copy.deepcopy(LOCKED)
    more["ApplySafetySteer"]["inputs"].append({"name": "new", "type": "INT", "optional": False, "default": 1})
    assert public_schema.broken(LOCKED, more) == ["ApplySafetySteer: the new input new is not optional"]


def test_appending_breaks_nothing() -> None:
    more = changed(max=20.0)
    more["ApplySafetySteer"]["inputs"].append({"name": "new", "type": "INT", "optional": True, "default": 1})
    more["ApplySafetySteer"]["outputs"].append("STRING")
    more["AlignSafetyDirection"]["inputs"][2]["options"].append("other")
    more["NewNode"] = {"inputs": [], "outputs": []}
    assert public_schema.broken(LOCKED, more) == []


def test_a_newer_file_may_be_the_default() -> None:
    newer = copy.deepcopy(LOCKED)
    [name] = newer["LoadSafetyDirection"]["inputs"]
    name["default"] = "newer.safetensors"
    assert public_schema.broken(LOCKED, newer) == []


def test_newer_comfyui_is_told_what_people_search_for(monkeypatch: pytest.MonkeyPatch) -> None:
    io = running_comfyui.module("nodes.inputs").io

    class Newer(io.Schema):  # type: ignore[misc]
        def __init__(self, *args: Any, search_aliases: list[str] | None = None, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.search_aliases = search_aliases

    monkeypatch.setattr(io, "Schema", Newer)
    aliases = {schema.node_id: schema.search_aliases for schema in schemas()}
    assert all("safety" in words for words in aliases.values())
    assert {"nsfw", "sfw", "safe", "censor", "filter", "moderation", "guard"} <= set(aliases["ApplySafetySteer"])
