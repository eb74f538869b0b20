"""The table behind family_models: every family by name."""

from __future__ import annotations

from .audio import AUDIO
from .flux import FLUX
from .hunyuan import HUNYUANS
from .images import IMAGES
from .llm_images import LLM_IMAGES
from .rows import Family
from .textless import TEXTLESS
from .unets import UNETS
from .videos import VIDEOS
from .wan import WAN

FAMILIES: dict[str, Family] = {**UNETS, **FLUX, **IMAGES, **LLM_IMAGES, **WAN, **HUNYUANS, **VIDEOS, **AUDIO, **TEXTLESS}
