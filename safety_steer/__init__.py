"""Safety Steer: carry a safety direction into any text encoder with benign prompts only, and steer with it.

Data flows one way: pairs and benign prompts -> `extract_direction` -> `SafetyDirection` -> `align_direction` ->
`AlignedDirection` -> `steer_conditioning`. docs/python.md walks the whole way; what is named here is public.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import SafetySteerError
from .version import __version__

if TYPE_CHECKING:
    from .alignment.align_direction import AlignSettings
    from .alignment.align_direction import align as align_direction
    from .alignment.anchors import AnchorStates, encode_anchors
    from .alignment.anchors import collect as collect_anchors
    from .directions.aligned import AlignedDirection
    from .directions.aligned_space import AlignedSpace
    from .directions.source import SafetyDirection
    from .extraction.extract_direction import extract as extract_direction
    from .extraction.text_model import TextModel, load_text_model, token_states
    from .steering.presets import PRESETS
    from .steering.steer_conditioning import Outcome, SteerSettings, steer_conditioning
    from .storage.bundled import bundled as bundled_file
    from .storage.prompt_files import Pair, read_pairs, read_prompts

__all__ = [
    "PRESETS",
    "AlignSettings",
    "AlignedDirection",
    "AlignedSpace",
    "AnchorStates",
    "Outcome",
    "Pair",
    "SafetyDirection",
    "SafetySteerError",
    "SteerSettings",
    "TextModel",
    "__version__",
    "align_direction",
    "bundled_file",
    "collect_anchors",
    "encode_anchors",
    "extract_direction",
    "load_text_model",
    "read_pairs",
    "read_prompts",
    "steer_conditioning",
    "token_states",
]

# Public name -> its module, and its name there where that differs.
_HOMES = {
    "PRESETS": ("steering.presets", "PRESETS"),
    "AlignSettings": ("alignment.align_direction", "AlignSettings"),
    "AlignedDirection": ("directions.aligned", "AlignedDirection"),
    "AlignedSpace": ("directions.aligned_space", "AlignedSpace"),
    "AnchorStates": ("alignment.anchors", "AnchorStates"),
    "Outcome": ("steering.steer_conditioning", "Outcome"),
    "Pair": ("storage.prompt_files", "Pair"),
    "SafetyDirection": ("directions.source", "SafetyDirection"),
    "SteerSettings": ("steering.steer_conditioning", "SteerSettings"),
    "TextModel": ("extraction.text_model", "TextModel"),
    "align_direction": ("alignment.align_direction", "align"),
    "bundled_file": ("storage.bundled", "bundled"),
    "collect_anchors": ("alignment.anchors", "collect"),
    "encode_anchors": ("alignment.anchors", "encode_anchors"),
    "extract_direction": ("extraction.extract_direction", "extract"),
    "load_text_model": ("extraction.text_model", "load_text_model"),
    "read_pairs": ("storage.prompt_files", "read_pairs"),
    "read_prompts": ("storage.prompt_files", "read_prompts"),
    "steer_conditioning": ("steering.steer_conditioning", "steer_conditioning"),
    "token_states": ("extraction.text_model", "token_states"),
}


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for, so that a workflow can be edited without waiting for it."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, own = _HOMES[name]
    return getattr(import_module(f".{module}", __name__), own)


def __dir__() -> list[str]:
    """List the public names too, which are not there before they are asked for."""
    return sorted({*globals(), *__all__})
