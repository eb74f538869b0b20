"""The demo generator's network as a ComfyUI MODEL: the stock samplers run it as they run any rectified-flow model."""

from __future__ import annotations

from typing import Any

import comfy.conds
import comfy.latent_formats
import comfy.model_base
import comfy.model_management
import comfy.model_patcher
import comfy.supported_models_base
import torch
from comfy.patcher_extension import WrapperExecutor, WrappersMP, get_all_wrappers
from torch import Tensor, nn

from ...safety_steer.demo_world.autoencoder import Autoencoder
from ...safety_steer.demo_world.pictures import picture_context
from ...safety_steer.demo_world.sampling import MULTIPLIER, DemoGenerator
from ...safety_steer.demo_world.transformer import SceneTransformer
from ...safety_steer.errors import MismatchError

MEMORY_FACTOR = 0.2  # by hand; what ComfyUI multiplies a latent's size with to know what memory to keep free


def make_model(generator: DemoGenerator) -> comfy.model_patcher.ModelPatcher:
    """Wrap a generator's network for ComfyUI, in float32 on every device."""
    config = SceneConfig({"network": generator.network, "dtype": torch.float32})
    config.latent_format = SceneLatents(generator)
    config.picture_width = generator.network.config.context_width if generator.reads_pictures else 0
    config.sampling_settings = {"shift": generator.network.config.shift, "multiplier": MULTIPLIER}
    return comfy.model_patcher.ModelPatcher(
        config.get_model({}),
        load_device=comfy.model_management.get_torch_device(),
        offload_device=comfy.model_management.unet_offload_device(),
    )


class SceneLatents(comfy.latent_formats.LatentFormat):
    """Latents as they are: unit variance, 8 x 8 pixels each, and for videos one per frame."""

    def __init__(self, generator: DemoGenerator) -> None:
        """Take the sizes of a generator, and the colours that previews show from its autoencoder."""
        self.latent_channels = generator.network.config.channels
        self.latent_dimensions = 3 if generator.video else 2
        self.latent_rgb_factors, self.latent_rgb_factors_bias = _mean_colours(generator.autoencoder)


class SceneConfig(comfy.supported_models_base.BASE):
    """Describes the network to ComfyUI: rectified flow, as `safety_steer.demo_world.sampling` samples it."""

    unet_extra_config: dict[str, Any] = {}  # noqa: RUF012
    supported_inference_dtypes = [torch.float32]  # noqa: RUF012
    memory_usage_factor = MEMORY_FACTOR
    picture_width = 0

    def model_type(self, state_dict: dict[str, Tensor], prefix: str = "") -> comfy.model_base.ModelType:  # noqa: ARG002
        """Name the way of sampling."""
        return comfy.model_base.ModelType.FLOW

    def get_model(self, state_dict: dict[str, Tensor], prefix: str = "", device: torch.device | None = None) -> SceneModel:
        """Build the model around the network of this configuration, which has its weights already."""
        return SceneModel(self, self.model_type(state_dict, prefix), device=device)


class SceneModel(comfy.model_base.BaseModel):
    """A BaseModel whose text goes to the network as it is, each conditioning in a pass of its own."""

    def __init__(self, config: SceneConfig, model_type: comfy.model_base.ModelType, device: torch.device | None = None) -> None:
        """Build ComfyUI's part around the network."""
        super().__init__(config, model_type, device=device, unet_model=SceneNetwork)
        self.reads = config.picture_width

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        """Give the network the token states, or what CLIP vision says of pictures where it reads those and there are some."""
        conds: dict[str, Any] = super().extra_conds(**kwargs)
        seen = _pictures(kwargs.get("unclip_conditioning"), self.reads) if self.reads else None
        text = kwargs.get("cross_attn") if seen is None else seen
        if text is not None:
            conds["c_crossattn"] = UnbatchedText(text)
        return conds


def _pictures(unclip: list[dict[str, Any]] | None, width: int) -> Tensor | None:
    """Return the context of the pictures that unCLIPConditioning added; None where there are none."""
    if not unclip:
        return None
    states = [getattr(item["clip_vision_output"], "last_hidden_state", None) for item in unclip]
    for part in states:
        if not isinstance(part, Tensor) or part.ndim != 3 or part.shape[-1] != width:
            found = tuple(part.shape) if isinstance(part, Tensor) else "nothing"
            raise MismatchError(
                f"The demo generator reads pictures as states of width {width}, but unCLIPConditioning gave it {found}. "
                "Encode the picture with the CLIP_VISION of Load Demo Generator."
            )
    return picture_context([part for part in states if part is not None], [float(item["strength"]) for item in unclip])


class UnbatchedText(comfy.conds.CONDRegular):
    """Text that shares no pass with other text, so that a picture never depends on how much memory was free."""

    def can_concat(self, other: comfy.conds.CONDRegular) -> bool:  # noqa: ARG002
        """Say no: positive and negative differ in length, and repeated tokens would weigh more than the others."""
        return False


class SceneNetwork(nn.Module):
    """What ComfyUI calls: the network, with one clear error for latents and text that are not its own."""

    def __init__(self, network: SceneTransformer, dtype: torch.dtype, device: Any = None, operations: Any = None) -> None:  # noqa: ARG002
        """Keep the network, which is built and loaded already."""
        super().__init__()
        self.network = network
        self.dtype = dtype

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor | None = None,
        control: Any = None,
        transformer_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Return the velocity; wrappers of other nodes around the network are run."""
        wrappers = get_all_wrappers(WrappersMP.DIFFUSION_MODEL, transformer_options or {})
        executor = WrapperExecutor.new_class_executor(self._forward, self, wrappers)
        velocity: Tensor = executor.execute(x, timesteps, context, control, transformer_options, **kwargs)
        return velocity

    def _forward(self, x: Tensor, timesteps: Tensor, context: Tensor | None, *_args: Any, **_kwargs: Any) -> Tensor:
        self._check(x, context)
        # Where memory is scarce ComfyUI leaves parts of a model on the CPU; this one is small enough to follow whole.
        velocity: Tensor = self.network.to(x.device)(x, timesteps, context)
        return velocity

    def _check(self, x: Tensor, context: Tensor | None) -> None:
        config = self.network.config
        if context is None or context.shape[-1] != config.context_width:
            width = "no text" if context is None else f"text of width {context.shape[-1]}"
            raise MismatchError(
                f"The demo generator reads text of width {config.context_width}, but the conditioning has {width}. Encode "
                "the prompt with the CLIP of Load Demo Generator."
            )
        video = config.frames > 1
        sides, side = (config.size, config.size), 8 * config.size
        if x.ndim != (5 if video else 4) or x.shape[1] != config.channels or tuple(x.shape[-2:]) != sides:
            cure = "Empty HunyuanVideo Latent" if video else "Empty Latent Image"
            raise MismatchError(
                f"The demo generator draws {side} x {side} pixels in latents of {config.channels} channels, but this latent is "
                f"{tuple(x.shape)}. Set width and height of {cure} to {side}, or encode with the VAE of Load Demo Generator."
            )
        if video and x.shape[2] != config.frames:
            raise MismatchError(
                f"The demo generator draws {config.frames} frames, but this latent has {x.shape[2]}. Set length to "
                f"{4 * config.frames - 3} on Empty HunyuanVideo Latent, which is {config.frames} frames."
            )


def _mean_colours(autoencoder: Autoencoder) -> tuple[list[list[float]], list[float]]:
    """Return the mean red, green and blue of a patch for each latent channel, and those of no latent."""
    weight, bias = autoencoder.to_patch.weight, autoencoder.to_patch.bias
    assert bias is not None
    return weight.flatten(1).view(3, 64, -1).mean(1).T.tolist(), bias.view(3, 64).mean(1).tolist()
