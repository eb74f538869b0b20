// The pack's nodes as the window's commands tell them apart: the table is that of safety_steer/workflow/pack_nodes.py.

/** Nodes that are taken out: the input by which a wire of the workflow comes in, and the output by which it goes on. */
export const STEERING = {
  "ApplySafetySteer": ["model", 0],
  "ApplySafetySteerConditioning": ["conditioning", 0],
  "ApplySafetySteerWanVideo": ["text_embeds", 0],
  "SafetyReport": ["after", 3],
  "SafetyScore": ["conditioning", -1]
};
/** Nodes that only serve steering. */
export const SUPPLYING = ["LoadSafetyDirection", "AlignSafetyDirection", "SafetyCategoryMixer"];
export const DIRECTIONS = ["SAFETY_DIRECTION", "ALIGNED_DIRECTION"];
export const REPORTING = "SafetyReport";
export const SCORING = "SafetyScore";
