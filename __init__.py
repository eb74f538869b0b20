"""Safety Steer for ComfyUI: carry a safety direction from a language model into any text encoder, and steer with it."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .adapters import folders
from .nodes import NODES

WEB_DIRECTORY = "./web"

folders.register()


class SafetySteerExtension(ComfyExtension):
    """The nodes of this pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        """Return the node classes, in menu order."""
        return list(NODES)


async def comfy_entrypoint() -> SafetySteerExtension:
    """Return the extension; ComfyUI calls this once at start."""
    return SafetySteerExtension()
