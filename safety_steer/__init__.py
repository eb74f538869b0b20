"""Safety Steer: carry a safety direction into any text encoder with benign prompts only, and steer with it.

Data flows one way: file -> `SafetyDirection` -> `align` -> `AlignedDirection` -> `steer_conditioning`.
"""

from .aligned import AlignedDirection, AlignedSpace
from .apply import Outcome, SteerSettings, steer_conditioning
from .direction import SafetyDirection
from .errors import SafetySteerError

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
