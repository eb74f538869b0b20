"""The ComfyUI nodes of Safety Steer: thin glue around the library, one technique per file."""

from __future__ import annotations

from comfy_api.latest import io

from .align_direction import AlignSafetyDirection
from .align_direction_vision import AlignSafetyDirectionVision
from .apply_conditioning import ApplySafetySteerConditioning
from .apply_steer import ApplySafetySteer
from .apply_vision_output import ApplySafetySteerVisionOutput
from .apply_wan_video import ApplySafetySteerWanVideo
from .category_mixer import SafetyCategoryMixer
from .extract_direction import ExtractSafetyDirection
from .load_demo_generator import LoadDemoGenerator
from .load_direction import LoadSafetyDirection
from .negation.text_weights import NegateUnsafeWeights
from .negation.vision_weights import NegateUnsafeWeightsVision
from .refusal.prompt import RefuseUnsafePrompt
from .refusal.requests import RefuseUnsafeRequests
from .safety_report import SafetyReportNode
from .safety_score import SafetyScoreNode
from .save_direction import SaveSafetyDirection
from .sharing.load_aligned import LoadAlignedDirection
from .sharing.save_aligned import SaveAlignedDirection

NODES: tuple[type[io.ComfyNode], ...] = (
    LoadSafetyDirection,
    AlignSafetyDirection,
    SafetyCategoryMixer,
    ApplySafetySteer,
    ApplySafetySteerConditioning,
    LoadDemoGenerator,
    ExtractSafetyDirection,
    SaveSafetyDirection,
    ApplySafetySteerWanVideo,
    SafetyReportNode,
    SafetyScoreNode,
    RefuseUnsafePrompt,
    NegateUnsafeWeights,
    NegateUnsafeWeightsVision,
    RefuseUnsafeRequests,
    AlignSafetyDirectionVision,
    ApplySafetySteerVisionOutput,
    SaveAlignedDirection,
    LoadAlignedDirection,
)
