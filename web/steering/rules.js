// Written by `python -m tools.docs.write_pack_nodes`, and not by hand: what safety_steer/workflow goes by too.

/** The id that links use for a subgraph's own inputs. */
export const ENTRY = -10;
/** The id that links use for a subgraph's own outputs. */
export const EXIT = -20;
export const MUTED = 2;
export const BYPASSED = 4;
/** Types that say nothing, the second where ComfyUI has not found it out yet. */
export const UNTOLD = ["*", "COMFY_MATCHTYPE_V3", null];
export const CONDITIONING = "CONDITIONING";
export const CLIP = "CLIP";
export const GET = "GetNode";
export const SET = "SetNode";
/** Nodes that give what they get. */
export const PASSING = ["Reroute", "GetNode", "SetNode"];
/** How the names of sockets begin that belong together. */
export const PAIR = ["positive", "negative"];
/** The names of the input for the positive prompt. */
export const POSITIVE = ["positive", "conditioning", "cond1"];
/** What samplers and guiders give, unlike nodes that train or detect with a model. */
export const RESULTS = ["LATENT", "GUIDER", "IMAGE"];
/** Nodes whose conditioning is music that a language model has written. */
export const WRITES_MUSIC = ["YuE2GenerateMusic", "MiniMaxMusic3TextEncode"];
/** Nodes that give a CLIP that says what the one they get says. */
export const SAME_CLIP = ["Reroute", "GetNode", "SetNode", "SelectCLIPDevice"];
/** How deep in each other subgraphs are looked into. */
export const MAX_DEPTH = 32;
/** What a block may hold besides steering: nodes that do nothing by themselves. */
export const NOTES = ["Note", "MarkdownNote", "Reroute"];
/** Where `safety-steer add` keeps, in a file, what it has changed. */
export const RECORD = "safety_steer";
/** The name of a subgraph's new input or output for a direction. */
export const SOCKET = "safety_direction";
/** The height of a node's title. */
export const TITLE = 30;
/** The room between a new node and its neighbour. */
export const GAP = 40;
export const STEP = 40;
/** How many steps around the wanted place are tried before the room below everything is taken. */
export const REACH = 40;
export const STEER = "steer";
export const STEERED = "steered";
export const LEFT = "left alone";
/** What is said about samplers and blocks that are left alone; names in braces are filled in. */
export const TEXTS = {
  "no_sampler": "{what} has no sampler that runs in ComfyUI itself",
  "empty_input": "its {name} input is empty",
  "broken_wire": "the wire into its {name} input is broken",
  "switched_off": "its {node} is switched off: bypassed or muted",
  "within": "the steering is in {node}",
  "blocks_stay": "placed by hand, and left in: {nodes}; bypass or delete it in ComfyUI",
  "node": "{title} (#{id})",
  "not_text": "its prompt is not text: it comes from {nodes}",
  "no_prompt": "no text prompt leads to it",
  "no_text_outside": "the subgraph {graph} is also used with a prompt that is not text",
  "several_clips": "its prompt is encoded by {count} different CLIPs, and a direction fits one; connect one CLIP, or steer by hand",
};
