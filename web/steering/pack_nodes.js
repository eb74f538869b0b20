// Written by `python -m tools.docs.write_pack_nodes`, and not by hand: the pack's nodes, as in safety_steer/workflow/pack_nodes.py.

export const LOAD = "LoadSafetyDirection";
export const ALIGN = "AlignSafetyDirection";
export const APPLY = "ApplySafetySteer";
export const ON_CONDITIONING = "ApplySafetySteerConditioning";
export const ON_WAN_WRAPPER = "ApplySafetySteerWanVideo";
export const REPORTING = "SafetyReport";
export const SCORING = "SafetyScore";
/** Nodes that are put into workflows, with their titles. */
export const TITLES = {
  "LoadSafetyDirection": "Load Safety Direction",
  "AlignSafetyDirection": "Align Direction",
  "SafetyCategoryMixer": "Category Mixer",
  "ApplySafetySteer": "Apply Safety Steer",
};
/** Nodes that are taken out: the input by which a wire of the workflow comes in, and the output by which it goes on. */
export const STEERING = {
  "ApplySafetySteer": ["model", 0],
  "ApplySafetySteerConditioning": ["conditioning", 0],
  "ApplySafetySteerWanVideo": ["text_embeds", 0],
  "SafetyReport": ["after", 3],
  "SafetyScore": ["conditioning", -1],
  "RefuseUnsafePrompt": ["conditioning", 0],
};
/** The property by which a steering node knows inputs that no wire was drawn into before: their nodes and slots. */
export const DRAWN = "safety_steer_drawn";
/** Nodes that only serve steering. */
export const SUPPLYING = ["LoadSafetyDirection", "AlignSafetyDirection", "SafetyCategoryMixer", "LoadAlignedDirection"];
/** All nodes of this pack. */
export const OWN_NODES = ["LoadSafetyDirection", "AlignSafetyDirection", "SafetyCategoryMixer", "ApplySafetySteer", "ApplySafetySteerConditioning", "LoadDemoGenerator", "ExtractSafetyDirection", "SaveSafetyDirection", "ApplySafetySteerWanVideo", "SafetyReport", "SafetyScore", "RefuseUnsafePrompt", "NegateUnsafeWeights", "NegateUnsafeWeightsVision", "RefuseUnsafeRequests", "AlignSafetyDirectionVision", "ApplySafetySteerVisionOutput", "SaveAlignedDirection", "LoadAlignedDirection"];
/** The type of a direction that fits a CLIP. */
export const ALIGNED = "ALIGNED_DIRECTION";
/** The types of directions. */
export const DIRECTIONS = ["SAFETY_DIRECTION", "ALIGNED_DIRECTION"];
