"""The table behind family_models: every family by name."""

from __future__ import annotations

from family_audio import AUDIO
from family_flux import FLUX
from family_hunyuan import HUNYUANS
from family_images import IMAGES
from family_llm_images import LLM_IMAGES
from family_rows import Family
from family_textless import TEXTLESS
from family_unets import UNETS
from family_videos import VIDEOS
from family_wan import WAN

FAMILIES: dict[str, Family] = {**UNETS, **FLUX, **IMAGES, **LLM_IMAGES, **WAN, **HUNYUANS, **VIDEOS, **AUDIO, **TEXTLESS}
