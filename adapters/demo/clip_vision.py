"""The demo's eyes as a ComfyUI CLIP_VISION."""

from __future__ import annotations

import comfy.clip_vision
import comfy.model_management
import comfy.model_patcher
import comfy.utils
import torch
from torch import Tensor

from ...safety_steer.demo_world.judges import to_network
from ...safety_steer.demo_world.pictures import Eyes
from ...safety_steer.demo_world.render import SIZE


class DemoClipVision:
    """Looks at pictures of any size as CLIP Vision Encode asks, in float32 on every device.

    A loaded CLIP vision model is a class of ComfyUI's that builds its own network, so this one only speaks as it does.
    """

    model_type = "demo"
    image_size = SIZE

    def __init__(self, eyes: Eyes) -> None:
        """Take eyes into ComfyUI's memory management."""
        self.model = eyes
        self.dtype = torch.float32
        self.config = {"hidden_size": eyes.reader.config.text_width}
        self.load_device = comfy.model_management.text_encoder_device()
        self.patcher = comfy.model_patcher.ModelPatcher(
            eyes, load_device=self.load_device, offload_device=comfy.model_management.text_encoder_offload_device()
        )

    def encode_image(self, image: Tensor, crop: bool = True) -> comfy.clip_vision.Output:
        """Return the states of pictures (B, H, W, 3) in 0..1; `crop` cuts to the middle square, or else stretches.

        Each picture is looked at alone, so that it never depends on those beside it.
        """
        comfy.model_management.load_model_gpu(self.patcher)
        pictures = to_network(_sized(image[..., :3].to(self.load_device), crop))
        seen = [self.model.look(picture) for picture in pictures.split(1)]
        output = comfy.clip_vision.Output()
        for name in ("last_hidden_state", "penultimate_hidden_states", "image_embeds"):
            states = torch.cat([getattr(states, name) for states in seen])
            output[name] = states.to(comfy.model_management.intermediate_device())
        output["image_sizes"] = [pictures.shape[1:]] * len(pictures)
        output["mm_projected"] = None
        return output


def _sized(image: Tensor, crop: bool) -> Tensor:
    if image.shape[1:3] == (SIZE, SIZE):
        return image
    channels_first = image.movedim(-1, 1)
    sized: Tensor = comfy.utils.common_upscale(channels_first, SIZE, SIZE, "area", "center" if crop else "disabled")
    return sized.movedim(1, -1)
