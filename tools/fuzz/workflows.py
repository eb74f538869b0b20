"""Workflows of the editor and of the API: read, judged, changed, written, read again and taken back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

from safety_steer.evaluation.comfyui import workflow as evaluated
from safety_steer.workflow import add, check, read_workflow, remove
from safety_steer.workflow.files.json_text import same
from safety_steer.workflow.workflow_file import WorkflowFile, write_change, write_removal, write_workflow

from . import samples
from .stream import Stream, edited
from .target import Target, folder, given, refusing, whole

FILE = "workflow.json"
STYLES: tuple[dict[str, Any], ...] = ({}, {"indent": 2}, {"indent": "\t", "ensure_ascii": False}, {"separators": (",", ":")})


@cache
def sound() -> tuple[Any, ...]:
    """Return small sound workflows of every shape the tests know: the editor's, the API's, and with steering in them."""
    samples.small("patch")
    from support import fake_comfy
    from support.workflows import pack_shapes, shapes

    editor = [shapes.shapes()[name][0] for name in sorted(shapes.shapes())]
    packs = [case.data for _, case in sorted(pack_shapes.cases().items())]
    return (*editor, *packs, fake_comfy.workflow(), *(add(one).data for one in editor[:12]), add(fake_comfy.workflow()).data)


def file_of(data: bytes, wrapped: bool = True) -> bytes:
    """Return the JSON text that an input stands for: the input itself, or a sound workflow with edits, in some layout."""
    stream = Stream(data)
    mode = stream.byte()
    if mode % 4 == 0:
        return stream.rest()
    document = sound()[stream.below(len(sound()))]
    if mode % 16 == 15 and wrapped:
        document = {"prompt": sound()[stream.below(len(sound()))], "extra_data": {"extra_pnginfo": {"workflow": document}}}
    style = STYLES[mode // 4 % len(STYLES)]
    document = edited(document, stream)
    try:
        text = json.dumps(document, **style)
    except RecursionError:
        return b"[" * 3000
    return text.encode("utf-8", "surrogatepass")


def _saved(data: bytes) -> None:
    """Read a file; if it is a workflow, put steering in, take it out, and get back what was there to the letter."""
    text = file_of(data)
    path, target = given(FILE, text), folder() / "out.json"
    what = (_judged, _there_and_back, _taken_out)[sum(data[-2:]) % 3]
    with refusing():
        what(read_workflow(path), target)
    whole(path, text)
    target.unlink(missing_ok=True)


def _judged(found: WorkflowFile, target: Any) -> None:
    write_workflow(found.data, found, target)
    assert target.read_bytes().decode() == found.text, "unchanged data, changed text"
    check(found.data)


def _there_and_back(found: WorkflowFile, target: Any) -> None:
    with refusing():
        change = add(found.data)
        write_change(change, found, target)
        steered = read_workflow(target)
        assert same(steered.data, json.loads(json.dumps(steered.data)))
        if change.changed:
            assert not add(steered.data).changed, "steering was put in twice"
            removal = remove(steered.data)
            write_removal(removal, steered, target)
            back = read_workflow(target)
            if removal.exact and same(back.data, found.data):
                assert back.text == found.text, "taken out, but not to the letter"


def _taken_out(found: WorkflowFile, target: Any) -> None:
    removal = remove(found.data)
    write_removal(removal, found, target)
    assert read_workflow(target).kind == found.kind


def _evaluated(data: bytes) -> None:
    """Read an exported workflow for an evaluation and fill it in."""
    text = file_of(data, wrapped=False)
    with refusing():
        found = evaluated.read_workflow(given(FILE, text), None)
        made = found.filled("a kite", 7, 0.5)
        assert set(made) == set(found.graph)
        assert found.fingerprint == evaluated.read_workflow(folder() / FILE, None).fingerprint
    with refusing():
        evaluated.read_workflow(folder() / FILE, text[:8].decode("latin-1"))


def _seeds() -> Iterator[bytes]:
    for number in range(len(sound())):
        yield bytes((1, number, 1, number, 0, 7, number))
    for document in (*sound()[:3], sound()[-2]):
        yield b"\0" + json.dumps(document).encode()


TARGETS = (
    Target("workflow", _saved, _seeds, longest=8192),
    Target("evaluated", _evaluated, _seeds, longest=8192),
)
