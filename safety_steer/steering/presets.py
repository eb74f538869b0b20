"""Presets: settings by name, for those who would rather choose a word than numbers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from .steer_conditioning import SteerSettings

STANDARD = "standard"
FIRM = "firm"
PRESETS: Mapping[str, SteerSettings] = MappingProxyType(
    {
        "off": SteerSettings(strength=0.0),
        "gentle": SteerSettings(strength=0.5, false_positive_rate=0.002),
        STANDARD: SteerSettings(),
        "strict": SteerSettings(false_positive_rate=0.02),
        FIRM: SteerSettings(false_positive_rate=0.01),
    }
)
