"""Put safety steering into a workflow: one call for every format."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from . import api_format
from .editor import record
from .editor.insert import Inserter
from .files.wrapped import at, find_workflows, replaced
from .format_check import EDITOR
from .graph import Document, Json
from .pack_nodes import check_version
from .plan import STEER, Verdict, plan


@dataclass(frozen=True)
class Change:
    """A workflow with steering in it, and what was decided for each of its samplers."""

    data: Json
    verdicts: Sequence[Verdict]

    @property
    def changed(self) -> bool:
        """Tell whether anything was put in."""
        return any(verdict.state == STEER for verdict in self.verdicts)


def check(data: Json) -> Sequence[Verdict]:
    """Judge every sampler of a workflow, also of one within another object; raises DataError for JSON that holds none."""
    judged = ((at(data, place), kind) for place, kind in find_workflows(data).items())
    return [verdict for one, kind in judged for verdict in plan(_seen(one) if kind == EDITOR else api_format.as_document(one))]


def _seen(data: Json) -> Document:
    document = Document(data)
    for graph in document.graphs.values():
        for node in graph.nodes.values():
            check_version(node)
    return document


def add(data: Json) -> Change:
    """Return a workflow with steering before every sampler whose prompt has a CLIP; `data` itself stays as it is.

    Samplers that are steered already, or cannot be, stay as they are: a second call changes nothing. In the editor's
    format what was changed is kept under `extra`, so that `remove` gives back the original. A workflow within another
    object is changed in its place. Raises DataError for JSON that holds no workflow.
    """
    changes = {place: _add(at(data, place), kind) for place, kind in find_workflows(data).items()}
    verdicts = [verdict for change in changes.values() for verdict in change.verdicts]
    return Change(replaced(data, {place: change.data for place, change in changes.items()}), verdicts)


def _add(data: Json, kind: str) -> Change:
    """Change one workflow of a kind."""
    if kind != EDITOR:
        verdicts = plan(api_format.as_document(data))
        return Change(api_format.insert(data, verdicts), verdicts)
    before, earlier = record.split(data)
    result: Json = copy.deepcopy(before)
    document = _seen(result)
    verdicts = plan(document)
    if not any(verdict.state == STEER for verdict in verdicts):
        return Change(data, verdicts)
    inserter = Inserter(document)
    for verdict in verdicts:
        inserter.insert(verdict)
    record.keep(result, before, earlier)
    return Change(result, verdicts)
