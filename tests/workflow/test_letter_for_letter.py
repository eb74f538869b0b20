"""Files come back letter for letter: whatever their layout, what is beside their nodes, and what they are wrapped in."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.workflows import shapes
from support.workflows.sketch import Json, loader, plain, sampler, text, workflow

from safety_steer.cli import main
from safety_steer.errors import DataError
from safety_steer.workflow import add, check, remove
from safety_steer.workflow.files.json_text import parse, rewrite, same
from safety_steer.workflow.files.letter_for_letter import text_with_steering, text_without_steering
from safety_steer.workflow.plan import STEER

SHAPES = shapes.shapes()
LAYOUTS = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


def api(**beside: Any) -> Json:
    return {
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a.safetensors", "weight": float("nan")}},
        "6": {"inputs": {"text": "a kite über Köln", "clip": ["4", 1]}, "class_type": "CLIPTextEncode"},
        "3": {
            "class_type": "KSampler",
            "inputs": {"seed": 1, "cfg": 7.0, "model": ["4", 0], "positive": ["6", 0], "negative": None, "latent_image": None},
        },
        "9": {"class_type": "Note"},
        **beside,
    }


class Scribe:
    """Writes JSON with a layout of chance: spaces and line ends anywhere, letters as escapes, keys that are there twice."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.spaces = self.chance.choice([[""], [" "], ["", " "], ["", "\n", "\n\t", "\r\n  "], ["", " ", "\r\n"]])
        self.odd = self.chance.random() < 0.5

    def space(self) -> str:
        return self.chance.choice(self.spaces)

    def write(self, value: Any) -> str:
        if isinstance(value, dict):
            items = [f"{self.text(key)}{self.space()}:{self.space()}{self.write(one)}" for key, one in value.items()]
            if items and self.odd and self.chance.random() < 0.1:
                items.insert(0, f"{self.text(next(iter(value)))}:7")
            return self.wrapped("{}", items)
        if isinstance(value, list):
            return self.wrapped("[]", [self.write(one) for one in value])
        return self.text(value) if isinstance(value, str) else self.number(value)

    def wrapped(self, brackets: str, items: list[str]) -> str:
        inner = ",".join(f"{self.space()}{one}{self.space()}" for one in items) or self.space()
        return f"{brackets[0]}{inner}{brackets[1]}"

    def text(self, value: str) -> str:
        if self.odd and self.chance.random() < 0.2:
            return '"' + "".join(f"\\u{ord(letter):04x}" if ord(letter) < 65536 else letter for letter in value) + '"'
        return json.dumps(value, ensure_ascii=self.chance.random() < 0.5)

    def number(self, value: Any) -> str:
        plain_ = json.dumps(value)
        return f"{value}e0" if self.odd and re.fullmatch(r"-?\d+\.\d+", plain_) and self.chance.random() < 0.3 else plain_


def there_and_back(content: str) -> str:
    """Put steering into a text and take it out again, each time from the letters alone."""
    data = parse(content)
    change = add(data)
    assert any(verdict.state == STEER for verdict in change.verdicts)
    steered = text_with_steering(content, data, change)
    found = parse(steered)
    assert same(found, change.data) or "letters" in steered
    removal = remove(found)
    assert removal.exact
    return text_without_steering(steered, found, removal)


@given(name=st.sampled_from([name for name, shape in SHAPES.items() if add(shape[0]).changed]), seed=st.integers(0, 10**9))
@LAYOUTS
def test_an_editor_file_of_any_layout_comes_back(name: str, seed: int) -> None:
    content = Scribe(seed).write(SHAPES[name][0])
    assert there_and_back(content) == content


WRAPPERS: dict[str, Any] = {
    "not": lambda one: one,
    "prompt": lambda one: {"client_id": "x", "prompt": one},
    "deep": lambda one: {"input": {"images": [], "workflow": one}, "policy": None},
    "both": lambda one: {"output": one, "workflow": plain()},
    "list": lambda one: [{"seed": 1}, {"job": {"workflow": one}}],
    "written": lambda one: {"name": "x", "workflow": json.dumps(one)},
    "written with spaces": lambda one: [json.dumps({"prompt": one}, indent=1), "{}"],
    "request": lambda one: {"prompt": one, "extra_data": {"extra_pnginfo": {"workflow": plain()}}},
}


@given(seed=st.integers(0, 10**9), wrapper=st.sampled_from(sorted(WRAPPERS)), mark=st.booleans())
@LAYOUTS
def test_an_api_file_of_any_layout_comes_back(seed: int, wrapper: str, mark: bool) -> None:
    beside = {"_meta": {"inputs": ["seed"]}, "_comment": ["by hand", None], "version": 1.50}
    content = "\ufeff" * mark + Scribe(seed).write(WRAPPERS[wrapper](api(**beside)))
    assert there_and_back(content) == content


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=2), inner, max_size=5),
    max_leaves=15,
)


@given(before=values, after=values, seed=st.integers(0, 10**9))
@settings(max_examples=300, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_a_text_says_what_it_was_rewritten_to(before: Any, after: Any, seed: int) -> None:
    content = Scribe(seed).write({"of": [before, after]})
    data = parse(content)
    for changed in ({"of": [after, data["of"][0]]}, {"of": [before]}, {"of": [after, before, after], "more": after}, after):
        assert same(parse(rewrite(content, data, changed)), changed)


def test_only_what_is_new_is_written() -> None:
    content = '{ "3" :{"a":[1,2,\n 3], "b" : 1.50},\r\n  "4": {}}'
    data = parse(content)
    data["3"]["a"][1] = 7
    data["5"] = {"c": [1]}
    written = '{ "3" :{"a":[1,7,\n 3], "b" : 1.50},\r\n  "4": {},\r\n  "5" :{"c":[1]}}'
    assert rewrite(content, parse(content), data) == written


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("crlf", json.dumps(api(), indent=2).replace("\n", "\r\n") + "\r\n"),
        ("mark", "\ufeff" + json.dumps(plain(), indent=1)),
        (
            "short lists",
            json.dumps(api(), indent=2).replace("[\n        ", "[").replace(",\n        0", ", 0").replace("\n      ]", "]"),
        ),
        ("compact", json.dumps(plain(), separators=(",", ":"))),
    ],
)
def test_files_come_back_from_the_command(name: str, content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out, back = (tmp_path / one for one in ("in.json", "out.json", "back.json"))
    source.write_bytes(content.encode())
    assert main(["add", str(source), "-o", str(out)]) == 0
    assert out.read_bytes() != source.read_bytes()
    assert main(["add", "--remove", str(out), "-o", str(back)]) == 0
    assert back.read_bytes() == source.read_bytes()
    assert "as it was before" in capsys.readouterr().out
    if name == "crlf":
        assert out.read_bytes().count(b"\n") == out.read_bytes().count(b"\r\n")


def repaired() -> Json:
    """A file with counters that are behind, and with a link that its start does not list until it is moved to Apply."""
    data = workflow(loader(), text(2, "1.1"), sampler(3, "1.0", "2.0"), sampler(4, "1.0", "2.0"))
    data["nodes"][0]["outputs"][0]["links"] = data["nodes"][0]["outputs"][0]["links"][:1]
    data["nodes"][1]["widgets_values"] = [float("nan"), 1.0]
    return {**data, "last_link_id": 0, "last_node_id": 1}


def test_a_file_that_was_repaired_comes_back_with_its_faults() -> None:
    content = json.dumps(repaired(), indent=2)
    assert there_and_back(content) == content


def test_a_record_of_a_broken_file_is_not_followed_after_an_edit() -> None:
    result = add(repaired()).data
    assert remove(result).exact
    result["nodes"][1]["widgets_values"] = ["another prompt"]
    assert not remove(result).exact


def test_null_inputs_stay_and_are_empty() -> None:
    data = api()
    once = add(data).data
    assert once["3"]["inputs"]["negative"] is None
    assert json.dumps(remove(once).data) == json.dumps(data)


def test_a_wrapped_workflow_is_changed_in_its_place() -> None:
    data = WRAPPERS["both"](api())
    change = add(data)
    assert list(change.data) == ["output", "workflow"]
    assert json.dumps(change.data["output"]) == json.dumps(add(api()).data)
    assert json.dumps(change.data["workflow"]) == json.dumps(add(plain()).data)
    assert [verdict.state for verdict in check(data)] == [STEER, STEER]
    assert json.dumps(remove(change.data).data) == json.dumps(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"a": api(), "b": {"c": api()}}, r"several workflows, under the keys 'a', 'b\.c'"),
        ([api(), [api()]], r"several workflows, under the keys '0', '1\.0'"),
        ({"a": json.dumps({**api(), "5": None})}, "Under the key 'a': Its node '5' has no class_type"),
        ({"prompt": {**api(), "12": {"inputs": {}}}}, r"Under the key 'prompt': Its node '12' has no class_type"),
        ({**api(), "5": None}, "node '5' has no class_type"),
        ({**api(), "loader": {"inputs": {}}}, "node 'loader' has no class_type"),
        ({**api(), "5": {"class_type": 7, "inputs": {}}}, "node '5' has no class_type"),
        ({**api(), "5": {"class_type": "Note", "inputs": [1]}}, "inputs of its node '5'"),
        ({**plain(), "last_node_id": "x"}, "'last_node_id' is x"),
        ({**plain(), "links": 7}, "the key 'links' is no list"),
        ({**plain(), "nodes": [{"id": 7, "title": "mine"}]}, "number 1 in the file, id 7, title mine"),
    ],
)
def test_a_refusal_names_the_key_or_the_node(data: Json, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        add(data)
