"""Prompts that came into a MODEL beside the sampler's own: attention couple and its like hand them to the layers themselves.

Their nodes encode a prompt first and keep it in what they hang on the model: a patch of the attention, a wrapper, a hook of the
conditioning. Nothing of ComfyUI lists such prompts, so the patches are looked through for tensors shaped like the sampler's own
text, by the names they are kept under; what is called a negative is left out. They are not steered, since a tensor of another
node is never written to, and are named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import FunctionType, MappingProxyType, MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .roles import NEGATIVE, OURS
from .steered_variants import NAMES
from .step_windows import Entry

if TYPE_CHECKING:
    from comfy.model_patcher import ModelPatcher

DEPTH = 6  # by hand: a list of entries kept by an object that a function keeps
MOST_LOOKED_AT = 5_000  # by hand; values
# Models and what is ComfyUI's own hold weights, no prompts, but for hooks and conditions.
CLOSED = ("comfy.", "comfy_", "torch.", "numpy", "safetensors")
OPEN = ("comfy.hooks", "comfy.conds", "comfy.patcher_extension")
UNSAID = ("nocond", "none")
PACKAGE = __name__.partition(".adapters")[0]
PACK = re.compile(r"custom_nodes[/\\.]([^/\\.]+)")


def found_in(positive: Sequence[Entry], model: ModelPatcher | None, options: Mapping[str, Any]) -> list[str]:
    """Name what hands prompts of its own to a model, as "attn2_patch of ComfyCouple", each once.

    `options` are those of the sampling run, `positive` the entries whose text says how wide such prompts are; without a model
    only the hooks of those entries are looked through.
    """
    search = _Search(
        frozenset(entry[key].shape[-1] for entry in positive for key in NAMES if isinstance(entry.get(key), Tensor))
    )
    places = list(_places(options))
    if model is not None:
        places += _places({"object patch": model.object_patches, "injection": model.injections})
    for hook in (hook for entry in positive for hook in getattr(entry.get("hooks"), "hooks", [])):
        places += _places({"hook": {key: getattr(hook, key, None) or {} for key in ("transformers_dict", "injections")}})
    return list(dict.fromkeys(_label(name, kept) for name, kept in places if search.finds(kept)))


def left_alone(
    positive: Sequence[Entry], model: ModelPatcher | None = None, options: Mapping[str, Any] = MappingProxyType({})
) -> list[str]:
    """Say in one line what hands prompts of its own to a model; none when nothing does. The inputs are those of `found_in`."""
    found = found_in(positive, model, options)
    if not found:
        return []
    return [
        f"only partly reached: another node hands this model a prompt of its own ({', '.join(found)}), which stays as it is. "
        "To steer it too, put Apply Safety Steer (Conditioning) on the wires into that node"
    ]


def _places(options: Mapping[str, Any], name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what hangs on a model and the kind of place, such as "attn2_patch", less what this pack hung there."""
    for key, value in options.items():
        if isinstance(key, str) and key.startswith(OURS):
            continue
        known = key if isinstance(key, str) and not name else name
        if key in ("transformer_options", "patches", "patches_replace", "wrappers", "callbacks", "to_load_options"):
            yield from _places(value)
        elif isinstance(value, Mapping):
            yield from _places(value, known)
        elif isinstance(value, list | tuple):
            yield from ((known, one) for one in value)
        else:
            yield known, value


class _Search:
    """Looks through values for text states of given `widths`, each value once."""

    def __init__(self, widths: frozenset[int]) -> None:
        self.widths = widths
        self.seen: set[int] = set()

    def finds(self, value: Any) -> bool:
        """Say whether a value keeps text, which no value before did."""
        return self._holds(value, DEPTH)

    def _holds(self, value: Any, depth: int) -> bool:
        if isinstance(value, Tensor):
            return value.ndim == 3 and value.is_floating_point() and value.shape[-1] in self.widths
        if depth == 0 or id(value) in self.seen or len(self.seen) > MOST_LOOKED_AT or _is_closed(value):
            return False
        self.seen.add(id(value))
        return any(self._holds(part, depth - 1) for name, part in _parts(value) if not _is_negative(name))


def _is_closed(value: Any) -> bool:
    if isinstance(value, str | bytes | int | float | type | torch.nn.Module | None):
        return True
    if isinstance(value, FunctionType | MethodType | partial | Mapping | list | tuple | set):
        return str(getattr(value, "__module__", "")).startswith(PACKAGE)
    module = type(value).__module__
    return module.startswith(CLOSED) and not module.startswith(OPEN)


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Yield what a value keeps, with the names it is kept under."""
    if isinstance(value, Mapping):
        yield from ((str(name), part) for name, part in list(value.items()))
    elif isinstance(value, list | tuple | set):
        yield from (("", part) for part in value)
    elif isinstance(value, partial):
        yield from (("", part) for part in (value.func, *value.args))
        yield from value.keywords.items()
    elif isinstance(value, MethodType):
        yield from (("", value.__self__), ("", value.__func__))
    elif isinstance(value, FunctionType):
        yield from _kept_by_function(value)
    else:
        yield from list(getattr(value, "__dict__", {}).items())


def _kept_by_function(function: FunctionType) -> Iterator[tuple[str, Any]]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            yield name, cell.cell_contents
        except ValueError:
            # A cell that is not filled yet.
            continue
    defaults = function.__defaults__ or ()
    code = function.__code__
    yield from zip(code.co_varnames[code.co_argcount - len(defaults) : code.co_argcount], defaults, strict=True)
    yield from (function.__kwdefaults__ or {}).items()


def _is_negative(name: str) -> bool:
    return any(part in name.lower() for part in (*NEGATIVE, *UNSAID))


def _label(name: str, keeper: Any) -> str:
    """Return where a prompt is kept and by whom: the folder of a pack, or else a class or function."""
    if not callable(keeper):
        return name
    pack = PACK.search(str(getattr(keeper, "__module__", "")))
    owner = pack[1] if pack else getattr(keeper, "__qualname__", type(keeper).__qualname__).split(".")[0]
    return f"{name} of {owner}"
