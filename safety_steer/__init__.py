"""Safety Steer: carry a safety direction into any text encoder with benign prompts only, and steer with it.

Data flows one way: file -> `SafetyDirection` -> `align` -> `AlignedDirection` -> `steer_conditioning`.
"""

from typing import TYPE_CHECKING, Any

from .errors import SafetySteerError

if TYPE_CHECKING:
    from .aligned import AlignedDirection, AlignedSpace
    from .apply import Outcome, SteerSettings, steer_conditioning
    from .direction import SafetyDirection

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
    if name in ("AlignedDirection", "AlignedSpace"):
        from . import aligned as home
    elif name in ("Outcome", "SteerSettings", "steer_conditioning"):
        from . import apply as home
    elif name == "SafetyDirection":
        from . import direction as home
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(home, name)
