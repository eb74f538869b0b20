"""Refusal inside a ComfyUI CLIP that writes text: an object patch on a clone, around the pass of its language model.

ComfyUI's language models make logits of what `model.forward` of their transformer returns. `ModelPatcher.add_object_patch` puts
another forward there while the clone is loaded, and ComfyUI takes it off when the CLIP is used without it, or unloaded.
Nothing of the head's size is made again: head(H + eps H W^T) = H (E + eps E W)^T (arXiv 2507.13255).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import comfy.model_management
from torch import Tensor, nn

from ...safety_steer.errors import EncoderError
from ...safety_steer.extraction.layer_hooks import watched
from ...safety_steer.refusal.guard import Guard, embedding_rows
from .encode_prompts import encoder_name

if TYPE_CHECKING:
    from comfy.sd import CLIP

    from ...safety_steer.refusal.head import RefusalHead

Forward = Callable[..., Any]
Verdict = Callable[[float, bool], None]
ADVICE = "Connect the CLIP that Generate Text writes with, such as Qwen, Gemma or Llama."


@dataclass(frozen=True, eq=False)
class Writer:
    """The language model of a CLIP that writes: the path of its stack inside the CLIP, the stack, and its blocks."""

    path: str
    stack: Any
    blocks: nn.ModuleList


def find_writer(clip: CLIP) -> Writer:
    """Return what writes text in a CLIP; raises EncoderError where ComfyUI or the text encoder cannot."""
    if not hasattr(clip, "generate"):
        raise EncoderError(
            "This ComfyUI does not write text yet: its CLIP has no generate. Update ComfyUI to a version that has the node "
            "Generate Text."
        )
    found = []
    for name, module in clip.cond_stage_model.named_modules():
        stack = getattr(module, "model", None)
        blocks = getattr(stack, "layers", None)
        # Qwen2.5-VL has generate in ComfyUI 0.33, which fails: nothing says what ends its answers.
        ends = hasattr(getattr(stack, "config", None), "stop_tokens")
        writes = ends and all(callable(getattr(module, method, None)) for method in ("generate", "logits"))
        if writes and isinstance(blocks, nn.ModuleList):
            found.append(Writer(f"{name}.model", stack, blocks))
    if len(found) != 1:
        raise EncoderError(
            f"Expected a CLIP with one language model that writes text, but {encoder_name(clip)} holds "
            f"{len(found) or 'none'}. {ADVICE}"
        )
    return found[0]


def refusing(clip: CLIP, head: RefusalHead, strength: float, threshold: float, tell: Verdict | None = None) -> CLIP:
    """Return a clone of a CLIP that refuses the requests which the head's prober flags; the CLIP itself stays as it is.

    Only writing is touched: prompts are encoded as before. `tell` is given the score of every request, and whether the gate
    opened. Raises MismatchError for a model that the file was not made for, DataError for settings out of range.
    """
    writer = find_writer(clip)
    Guard(head, strength, threshold)
    comfy.model_management.load_models_gpu([clip.patcher])
    table = writer.stack.embed_tokens
    width = int(table.weight.shape[-1])
    head.check_model(width, len(writer.blocks), embedding_rows(table, head.tokens, clip.patcher.load_device))
    clone = clip.clone()
    place = f"{writer.path}.forward"
    inner = clone.patcher.get_model_object(place)
    clone.patcher.add_object_patch(place, GuardedForward(inner, writer.blocks, head, strength, threshold, tell))
    return clone


class GuardedForward:
    """A forward that reads the first pass over a request and changes what goes to the output head; encoding passes through."""

    def __init__(
        self, inner: Forward, blocks: nn.ModuleList, head: RefusalHead, strength: float, threshold: float, tell: Verdict | None
    ) -> None:
        """Wrap `inner`, the forward that was there."""
        self.inner, self.blocks, self.head, self.tell = inner, blocks, head, tell
        self.guard = Guard(head, strength, threshold)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the pass; ComfyUI hands a cache of keys on when it writes, and none when it encodes."""
        embeds = kwargs.get("embeds")
        if kwargs.get("past_key_values") is None or not isinstance(embeds, Tensor):
            return self.inner(*args, **kwargs)
        if not self.guard.begins(embeds.shape[1]):
            found = self.inner(*args, **kwargs)
        else:
            with watched(self.blocks, [self.head.layer], self.guard.read, "x"):
                found = self.inner(*args, **kwargs)
            if self.tell is not None and self.guard.scores is not None and self.guard.open is not None:
                self.tell(float(self.guard.scores[0]), bool(self.guard.open[0]))
        return (self.guard.change(found[0]), *found[1:])
