"""The parts of a ComfyUI text encoder, such as CLIP-L beside T5: what each of them gives, and where its rows went.

What a conditioning holds of a part's rows is up to the encoder's class: some take a template off the front, some one off the
end as well, and some parts give a pooled state only. The rows themselves tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from .tokens import Tokens, sections

if TYPE_CHECKING:
    from comfy.sd import CLIP

CLOSE = 0.02  # of a token's length; half precision and another batch size change less


@contextmanager
def outputs_of_parts(clip: CLIP) -> Iterator[dict[str, Any]]:
    """Collect what every part of the encoder gives in a pass: a CLIP hands out the pooled state of the first section only."""
    collected: dict[str, Any] = {}

    def keep(name: str) -> Callable[..., None]:
        def hook(_module: torch.nn.Module, _inputs: Any, output: Any) -> None:
            if isinstance(output, tuple) and len(output) > 1:
                collected[name] = output

        return hook

    handles = [part.register_forward_hook(keep(name)) for name, part in clip.cond_stage_model.named_children()]
    try:
        yield collected
    finally:
        for handle in handles:
            handle.remove()


def same_rows(made: Tensor, kept: Tensor) -> Tensor:
    """Say which rows of (..., D) are the same but for rounding: (...) bool."""
    one, other = made.to("cpu").float(), kept.to("cpu").float()
    close: Tensor = (one - other).norm(dim=-1) <= CLOSE * other.norm(dim=-1) + 1e-6
    return close


def source(outputs: Mapping[str, Any], tokens: Tokens, states: Tensor) -> tuple[str, int] | None:
    """Return which part's rows the states (T, D) of a prompt are, and which of them comes first; None when none are.

    Rows of zeros may have been any.
    """
    filled = (states != 0).any(-1).nonzero()[:, 0]
    for key, found in sections(tokens).items():
        rows = _rows(outputs.get(key) or outputs.get(f"clip_{key}"), [len(section) for section in found])
        if rows is None or not len(filled) or rows.shape[-1] != states.shape[-1]:
            continue
        starts = same_rows(rows, states[filled[0]]).nonzero()[:, 0] - int(filled[0])
        for start in starts[(starts >= 0) & (starts <= len(rows) - len(states))].tolist():
            if bool(same_rows(rows[start + filled], states[filled]).all()):
                return key, start
    return None


def _rows(output: Any, lengths: list[int]) -> Tensor | None:
    """Return the rows (T, D) that a part gave of sections of these lengths; None when it gave none for each token."""
    rows = output[0] if isinstance(output, tuple) else None
    if not isinstance(rows, Tensor) or rows.ndim != 3 or len(rows) < len(lengths) or {rows.shape[1]} != set(lengths):
        return None
    return torch.cat(list(rows[: len(lengths)])).to("cpu")
