"""The language model inside a ComfyUI CLIP as a source model: pooled states of its layers, caught as prompts pass through.

Layer i is the state that goes into block i; layer 0 is the embedding. What all prompts share (a chat template, start and end
tokens) says nothing about any of them and is left out of the average.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import comfy.model_management
import torch
from torch import Tensor, nn

from ...safety_steer.directions.source import ModelIdentity
from ...safety_steer.errors import EncoderError
from ...safety_steer.extraction.layer_hooks import watched
from ...safety_steer.extraction.text_model import Progress
from ...safety_steer.fast_products import fast_products
from .encode_prompts import encoder_name, tokens_per_pass
from .plain_tokens import PROBES, PlainTokenizer, numbers, plain
from .tokens import Tokens, generates_sound, merged, sections, shape, without_padding

if TYPE_CHECKING:
    from comfy.sd import CLIP

MIN_LAYERS = 2  # by hand: a list of one module need not be a stack of blocks
# A causal model makes its first token a sink of attention, an outlier that says nothing: no word of a prompt may be first.
TEMPLATE = "\n{}"
ADVICE = "Connect a text encoder such as Qwen, Llama, Gemma, Mistral or T5, or choose a model folder."


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """The largest language model of a CLIP: the key of its tokens, its blocks, and who it is.

    `edges` says how many tokens all prompts begin and end with alike, `tokenize` makes the tokens of a prompt.
    """

    clip: CLIP
    key: str
    blocks: nn.ModuleList
    identity: ModelIdentity
    edges: tuple[int, int]
    tokenize: PlainTokenizer

    @property
    def last_layer(self) -> int:
        """Number of the highest layer that can be read."""
        return len(self.blocks) - 1


def find(clip: CLIP) -> LanguageModel:
    """Return the language model of a CLIP; raises EncoderError when it has none whose layers can be read."""
    name = encoder_name(clip)
    if generates_sound(clip.tokenize(PROBES[0])):
        raise EncoderError(
            f"{name} holds no language model whose layers can be read: it generates sound for every prompt. {ADVICE}"
        )
    tokenize, probes, readers = _probed(clip)
    short, long = map(sections, probes)
    # CLIP pads every prompt to 77 tokens; those of a language model grow with the prompt.
    growing = [key for key, found in short.items() if len(found[0]) < len(long[key][0])]
    if not growing:
        raise EncoderError(
            f"{name} holds no language model whose layers can be read: it pads every prompt to one length, so that a prompt's "
            f"own words are not known. {ADVICE}"
        )
    found = [(stack, key) for key in growing if key in readers for stack in _stacks(readers[key])]
    if not found:
        raise EncoderError(
            f"{name} holds no language model whose layers can be read: none of its parts shows a stack of blocks that reads "
            f"the prompt. {ADVICE}"
        )
    blocks, key = max(found, key=lambda pair: sum(parameter.numel() for parameter in pair[0].parameters()))
    transformer: Any = readers[key].transformer
    width = int(transformer.get_input_embeddings().weight.shape[-1])
    identity = ModelIdentity(name, type(transformer).__name__, width, len(blocks))
    return LanguageModel(clip, key, blocks, identity, _shared(numbers(short[key]), numbers(long[key])), tokenize)


def pooled_activations(
    model: LanguageModel, prompts: Sequence[str], layers: Sequence[int], progress: Progress | None = None
) -> Tensor:
    """Average each prompt's states over its own tokens: (N, L, D) float32 on the CPU, layers in the order asked for.

    `progress` is told how many prompts are done, of how many.
    """
    tokens = [model.tokenize(prompt) for prompt in prompts]
    prefix, suffix = model.edges
    result = torch.empty(len(prompts), len(layers), model.identity.width)
    done = 0
    for rows in _groups(tokens, tokens_per_pass(model.clip, 4 * model.identity.width)):
        comfy.model_management.throw_exception_if_processing_interrupted()
        length = len(tokens[rows[0]][model.key][0])
        own = slice(prefix, length - suffix) if length > prefix + suffix else slice(0, length)
        kept: dict[int, Tensor] = {}
        caught = watched(model.blocks, layers, partial(_keep, kept, own), "x")
        with caught, fast_products(model.clip.patcher.load_device):
            model.clip.encode_from_tokens_scheduled(merged([tokens[row] for row in rows]))
        for index, layer in enumerate(layers):
            if layer not in kept or len(kept[layer]) < len(rows):
                raise EncoderError(f"{model.identity.name} does not show its layer {layer}. Choose a model folder instead.")
            result[rows, index] = kept[layer][: len(rows)].cpu()
        done += len(rows)
        if progress is not None:
            progress(done, len(prompts))
    return result


def _keep(kept: dict[int, Tensor], own: slice, layer: int, states: Tensor) -> None:
    """Keep the mean of a layer's states over a prompt's own tokens, as they come first."""
    # An encoder may read lyrics after the prompt, with the same blocks.
    if layer not in kept:
        kept[layer] = states[:, own].float().mean(1)


def _probed(clip: CLIP) -> tuple[PlainTokenizer, list[Tokens], dict[str, nn.Module]]:
    """Return what tokenizes for a CLIP, the tokens of PROBES, and which parts read them.

    An encoder that cuts off its own template cannot go without: JoyImage refuses prompts that are shorter than that.
    """
    bare = _options(clip)
    own = {name: value for name, value in bare.items() if name != "llama_template"}
    refused: Exception | None = None
    for options in (bare, own):
        tokenize = plain(clip, options)
        probes = [tokenize(probe) for probe in PROBES]
        try:
            return tokenize, probes, _readers(clip, probes[0])
        except (ValueError, IndexError) as error:
            refused = refused or error
    raise EncoderError(f"{encoder_name(clip)} could not encode a prompt: {refused}. {ADVICE}") from refused


def _options(clip: CLIP) -> dict[str, Any]:
    """Return how to tokenize without padding, and with no chat template where the tokenizer lets another be named."""
    return {"llama_template": TEMPLATE, **without_padding(clip)}


def _readers(clip: CLIP, tokens: Tokens) -> dict[str, nn.Module]:
    """Return which part of a CLIP reads the tokens of which key: their names do not tell, a pass does.

    A part may hand the tokens on to its transformer without being called itself.
    """
    readers: dict[str, nn.Module] = {}

    def note(part: nn.Module) -> Callable[..., None]:
        def hook(_: nn.Module, args: tuple[Any, ...]) -> None:
            for key, found in sections(tokens).items():
                if args and _reads(args[0], numbers(found)):
                    readers[key] = part

        return hook

    modules = [(part, (part, getattr(part, "transformer", None))) for part in clip.cond_stage_model.children()]
    handles = [
        module.register_forward_pre_hook(note(part))
        for part, found in modules
        for module in found
        if isinstance(module, nn.Module)
    ]
    try:
        clip.encode_from_tokens_scheduled(tokens)
    finally:
        for handle in handles:
            handle.remove()
    return readers


def _reads(given: Any, row: Sequence[Any]) -> bool:
    """Say whether what a module was given begins with a row of tokens."""
    rows = given.tolist() if isinstance(given, Tensor) and not given.is_floating_point() else given
    return isinstance(rows, list) and rows[:1] == [row]


def _stacks(part: nn.Module) -> list[nn.ModuleList]:
    """Return what may be the stack of blocks of an encoder: as long as the encoder says it is."""
    depth = getattr(part, "num_layers", -1)
    stacks = [stack for stack in part.modules() if isinstance(stack, nn.ModuleList)]
    return [stack for stack in stacks if len(stack) == depth >= MIN_LAYERS]


def _shared(one: Sequence[Any], other: Sequence[Any]) -> tuple[int, int]:
    """Return how many tokens two rows begin and end with alike."""
    shortest = min(len(one), len(other))
    prefix = next((at for at in range(shortest) if one[at] != other[at]), shortest)
    suffix = next((at for at in range(shortest - prefix) if one[-1 - at] != other[-1 - at]), shortest - prefix)
    return prefix, suffix


def _groups(tokens: Sequence[Tokens], most: int) -> Iterator[list[int]]:
    """Group prompts of one shape, as many as fit into a pass of `most` tokens."""
    groups: dict[Any, list[int]] = {}
    for row, found in enumerate(tokens):
        groups.setdefault(shape(found), []).append(row)
    for lengths, rows in groups.items():
        size = max(1, most // max(map(sum, lengths)))
        yield from (rows[start : start + size] for start in range(0, len(rows), size))
