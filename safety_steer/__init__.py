"""Safety Steer: carry a safety direction into any text encoder with benign prompts only, and steer with it.

Data flows one way: file -> `SafetyDirection` -> `align` -> `AlignedDirection` -> `steer_conditioning`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .errors import SafetySteerError

if TYPE_CHECKING:
    from .directions.aligned import AlignedDirection, AlignedSpace
    from .directions.source import SafetyDirection
    from .steering.steer_conditioning import Outcome, SteerSettings, steer_conditioning

__version__ = "0.1.0"

__all__ = [
    "AlignedDirection",
    "AlignedSpace",
    "Outcome",
    "SafetyDirection",
    "SafetySteerError",
    "SteerSettings",
    "__version__",
    "steer_conditioning",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is asked for, so that a workflow can be edited without waiting for it."""
    homes = {"directions.aligned": ("AlignedDirection", "AlignedSpace"), "directions.source": ("SafetyDirection",)}
    homes["steering.steer_conditioning"] = ("Outcome", "SteerSettings", "steer_conditioning")
    for home, names in homes.items():
        if name in names:
            return getattr(import_module(f".{home}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
