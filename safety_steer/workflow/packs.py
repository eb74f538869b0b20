"""Nodes of other packs, by the table packs.json: what each kind of node does with a model, a prompt or a pipe.

The table is data: a pack is added there, after its source was read. `docs/packs.md` and the window's table are written from it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from fnmatch import translate
from functools import lru_cache
from pathlib import Path
from typing import Any

TABLE: Mapping[str, Any] = json.loads(Path(__file__).with_name("packs.json").read_text(encoding="utf-8"))
SOCKETS: Mapping[str, Mapping[str, str]] = json.loads(Path(__file__).with_name("sockets.json").read_text(encoding="utf-8"))
"""What nodes of packs take and give that an export does not tell: inputs without a wire, and the types of all outputs."""
CARRIERS: Sequence[str] = TABLE["carriers"]
"""Types of pipes and contexts that carry a model and a prompt."""
PROVIDERS: Sequence[str] = TABLE["providers"]
"""Types of what samples later, in another node, with a model that it holds already."""
TEXTS: Sequence[str] = TABLE["texts"]
"""Types of what carries a text and its CLIP, and becomes conditioning in another node."""
PIPE, FIRST, LAST, PASSES = "pipe", "first", "last", "passthrough"
GETS, SETS, BROADCASTS, FROM_AROUND = "get", "set", "broadcaster", "get from around"
NO_PROMPT, OWN_LOOP, OWN_MODEL, OTHER_PROMPT = "no prompt", "own loop", "own model", "other prompt"
CHAIN, HIDDEN = "chain", "hidden"
PROMPT_IN_MODEL, PROMPT_BESIDE = "prompt in model", "prompt beside"


def _patterns() -> dict[str, str]:
    """Return the table's names of nodes by kind, as one pattern each; a star stands for any end of a name."""
    named: dict[str, list[str]] = {}
    for pack in TABLE["packs"]:
        for kind, names in pack["nodes"].items():
            named.setdefault(kind, []).extend(names)
    return {kind: "|".join(translate(name.replace("?", "[?]")) for name in names) for kind, names in named.items()}


PATTERNS = {kind: re.compile(pattern) for kind, pattern in _patterns().items()}


@lru_cache(maxsize=4096)
def is_known_as(type: str, kind: str) -> bool:
    """Tell whether the table names a type of node under a kind."""
    return kind in PATTERNS and PATTERNS[kind].fullmatch(type) is not None


def unwired(type: str) -> dict[str, str]:
    """Return the inputs of a node that an export leaves out when they have no wire, with their types."""
    named = (one.rpartition(":") for one in SOCKETS.get(type, {}).get("inputs", "").split())
    return {name: kind for name, _, kind in named}


def given(type: str) -> dict[int, str]:
    """Return the types of a node's outputs by slot, where the table has them."""
    return dict(enumerate(SOCKETS.get(type, {}).get("outputs", "").split()))


def member(name: object) -> str:
    """Return what a socket's name means in a pipe: "positive" for "pos", "optional_positive" and "BASE_CONDITIONING+"."""
    short = str(name or "").lower()
    for start in ("optional_", "opt_", "base_"):
        short = short.removeprefix(start)
    short = short.replace("conditioning+", "positive").replace("conditioning-", "negative")
    return {"pos": "positive", "neg": "negative"}.get(short, short)
