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
/** Nodes of other packs by kind, as in safety_steer/workflow/packs.json; a star stands for any end. */
export const PACKS = {
  "no prompt": ["AddNoise", "PerpNeg", "WanInfiniteTalkToVideo", "TrainLoraNode", "SAM3_Detect", "SAM3_VideoTrack", "LTXVDurationPredictor", "ReencodeLatentPipe", "ImpactSimpleDetectorSEGSPipe", "easy latentNoisy", "easy latentCompositeMaskedWithCond", "easy injectNoiseToLatent", "easy icLightApply", "easy ipadapterApply*", "WanVideoNAG", "LTX2_NAG", "LTXVSetAudioVideoMaskByTime", "AnimateDiffLoaderV1", "ADE_AnimateDiffLoaderV1Advanced", "IPAdapter*", "SeargeControlnetAdapterV2", "SeargeCustomAfterVaeDecode", "SeargeCustomAfterUpscaling", "AddLatentGuide", "BrushNet", "PowerPaint", "BatchCreativeInterpolation", "LTXDirector", "LTXDirectorGuide", "Kandinsky5VAEDecode", "TTP_Smart_Tile_Interactive_Crop_Experimental"],
  "prompt beside": ["GLIGENTextBoxApply"],
  "pipe": ["ToBasicPipe", "FromBasicPipe", "FromBasicPipe_v2", "EditBasicPipe", "ToDetailerPipe", "ToDetailerPipeSDXL", "FromDetailerPipe", "FromDetailerPipe_v2", "FromDetailerPipeSDXL", "EditDetailerPipe", "EditDetailerPipeSDXL", "BasicPipeToDetailerPipe", "BasicPipeToDetailerPipeSDXL", "DetailerPipeToBasicPipe", "AnyPipeToBasic", "Pack SDXL Tuple", "Unpack SDXL Tuple", "easy pipeIn", "easy pipeOut", "easy pipeEdit", "easy pipeEditPrompt", "easy pipeToBasicPipe", "easy pipeBatchIndex", "easy XYPlot", "easy XYPlotAdvanced", "easy preSampling*", "easy preDetailerFix", "easy preMaskDetailerFix", "easy controlnet*", "easy apply*", "easy instantID*", "easy ipadapterApplyRegional", "ttN pipeIN", "ttN pipeOUT", "ttN pipeEDIT", "ttN pipe2BASIC", "ttN pipe2DETAILER", "ttN pipeEncodeConcat", "ttN pipeLoraStack", "Context (rgthree)", "Context Big (rgthree)", "Context Merge (rgthree)", "Context Merge Big (rgthree)", "Context Switch (rgthree)", "Context Switch Big (rgthree)"],
  "passthrough": ["ImpactExecutionOrderController"],
  "sampler": ["FaceDetailer", "DetailerForEach", "DetailerForEachDebug", "KSampler //Inspire", "KSamplerAdvanced //Inspire", "KSamplerProgress //Inspire", "KSamplerAdvancedProgress //Inspire", "ScheduledCFGGuider //Inspire", "ScheduledPerpNegCFGGuider //Inspire", "KSampler (Efficient)", "KSampler Adv. (Efficient)", "ttN KSampler_v2", "UltimateSDUpscale", "UltimateSDUpscaleNoUpscale", "UltimateSDUpscaleCustomSample", "WanMoeKSampler", "WanMoeKSamplerAdvanced", "TripleKSamplerWan22Lightning", "TripleKSamplerWan22LightningAdvanced", "TripleKSamplerWan22LightningAdvancedAlt", "SeargeSDXLSampler", "SeargeSDXLSampler2", "SeargeSDXLSamplerV3", "SeargeSDXLImage2ImageSampler", "SeargeSDXLImage2ImageSampler2"],
  "pipe sampler": ["FaceDetailerPipe", "MaskDetailerPipe", "DetailerForEachPipe", "SEGSDetailer", "SEGSUpscalerPipe", "ImpactKSamplerBasicPipe", "ImpactKSamplerAdvancedBasicPipe", "KSamplerProvider", "KSamplerAdvancedProvider", "TiledKSamplerProvider", "PixelKSampleUpscalerProviderPipe", "PixelTiledKSampleUpscalerProviderPipe", "KSamplerPipe //Inspire", "KSamplerAdvancedPipe //Inspire", "RegionalPromptSimple //Inspire", "RegionalPromptColorMask //Inspire", "KSampler SDXL (Eff.)", "easy fullkSampler", "easy kSampler*", "easy detailerFix", "easy hiresFix", "easy unSampler", "easy fullCascadeKSampler", "easy cascadeKSampler", "ttN pipeKSampler*"],
  "set": ["easy setNode", "SetNode"],
  "get": ["easy getNode", "GetNode"],
  "last": ["Context Merge (rgthree)", "Context Merge Big (rgthree)"],
  "first": ["Context Switch (rgthree)", "Context Switch Big (rgthree)", "Any Switch (rgthree)"],
  "get from around": ["GetNode"],
  "broadcaster": ["Anything Everywhere", "Anything Everywhere?", "Anything Everywhere3", "Prompts Everywhere", "Seed Everywhere"],
  "chain": ["ClownsharKSampler_Beta", "ClownsharkChainsampler_Beta", "SharkSampler_Beta", "SharkChainsampler_Beta"],
  "prompt in model": ["AttentionCouplePPM", "HYApplyRegionalConds"],
  "own loop": ["XlabsSampler", "StoryDiffusion_KSampler"],
  "other prompt": ["HYFlowEditGuider", "HYFlowEditGuiderAdv", "HYFlowEditGuiderCFG", "HYFlowEditGuiderCFGAdv"],
  "own model": ["WanVideoSampler", "HyVideoSampler", "HyVideoInverseSampler", "HyVideoReSampler", "HyVideoPromptMixSampler", "CogVideoSampler", "SUPIR_sample", "SUPIR_Upscale", "CogVideoXFunInpaintSampler", "CogVideoXFunT2VSampler", "CogVideoXFunV2VSampler", "Flux2ControlSampler", "Flux2T2ISampler", "QwenImageControlSampler", "QwenImageEditPlusSampler", "QwenImageEditSampler", "QwenImageT2VSampler", "Wan2_2FunInpaintSampler", "Wan2_2FunT2VSampler", "Wan2_2FunV2VSampler", "Wan2_2I2VSampler", "Wan2_2T2VSampler", "Wan2_2VaceFunSampler", "WanFunInpaintSampler", "WanFunT2VSampler", "WanFunV2VSampler", "WanI2VSampler", "WanT2VSampler", "ZImageControlSampler", "ZImageT2ISampler", "DynamiCrafterI2V", "ToonCrafterInterpolation", "DynamiCrafterBatchInterpolation", "Kandinsky5Generate"],
  "hidden": ["SeargePipelineTerminator"],
};
/** Types of pipes and contexts that carry a model and a prompt. */
export const CARRIERS = ["BASIC_PIPE", "DETAILER_PIPE", "PIPE_LINE", "PIPE_LINE_SDXL", "RGTHREE_CONTEXT", "SDXL_TUPLE"];
/** Types of what carries a text and its CLIP, and becomes conditioning in another node. */
export const PIPED_TEXTS = ["CLIPREGION"];
/** What a pipe is asked for where the name of an output does not tell. */
export const MEMBERS = {
  "MODEL": "model",
  "CLIP": "clip",
  "CONDITIONING": "positive",
};
/** How the names of inputs begin or end that are no prompt to be steered. */
export const NEGATIVE = ["neg", "uncond", "empty"];
export const GUIDER = "GUIDER";
/** How the types of group nodes of older files begin, before the group's name. */
export const GROUPED = ["workflow>", "workflow/"];
export const REFINER = "refiner";
/** What is in the names of model inputs that do not draw the positive prompt. */
export const ASIDE = ["negative", "refiner"];
/** What samplers give whose node lists no outputs. */
export const GIVES = {
  "KSampler": "LATENT",
  "KSamplerAdvanced": "LATENT",
  "SamplerCustom": "LATENT",
  "CFGGuider": "GUIDER",
  "BasicGuider": "GUIDER",
  "DualCFGGuider": "GUIDER",
  "LTXVDualCFGGuider": "GUIDER",
  "DualModelGuider": "GUIDER",
  "PerpNegGuider": "GUIDER",
};
/** How the types of models end that are not ComfyUI's own. */
export const FOREIGN = ["MODEL", "MODELS", "PIPE", "PIPELINE"];
/** How the types of models end that draw nothing. */
export const HARMLESS = ["UPSCALE_MODEL", "SAM_MODEL", "CLIP_VISION_MODEL", "STYLE_MODEL"];
/** Nodes that give what they get. */
export const PASSING = ["Reroute", "easy getNode", "easy setNode", "GetNode", "SetNode"];
/** How the names of sockets begin that belong together. */
export const PAIR = ["positive", "negative"];
/** The names of the input for the positive prompt. */
export const POSITIVE = ["positive", "conditioning", "cond1"];
/** What samplers and guiders give, unlike nodes that train or detect with a model. */
export const RESULTS = ["LATENT", "GUIDER", "IMAGE", "KSAMPLER", "KSAMPLER_ADVANCED", "UPSCALER", "PK_HOOK", "DETAILER_HOOK", "REGIONAL_PROMPTS"];
/** Nodes whose conditioning is music that a language model has written. */
export const WRITES_MUSIC = ["YuE2GenerateMusic", "MiniMaxMusic3TextEncode"];
/** Nodes that give a CLIP that says what the one they get says. */
export const SAME_CLIP = ["Reroute", "easy getNode", "easy setNode", "GetNode", "SetNode", "SelectCLIPDevice"];
/** How deep in each other subgraphs are looked into. */
export const MAX_DEPTH = 32;
/** How deep in each other subgraphs may lie. */
export const MAX_NESTING = 32;
/** How many nodes there may be, those of subgraphs counted wherever they are used. */
export const MAX_USED = 100000;
/** What a block may hold besides steering: nodes that do nothing by themselves. */
export const NOTES = ["Note", "MarkdownNote", "Reroute"];
/** The highest id of a node or a link that new ones are counted on from: the editor counts in floats. */
export const MAX_ID = 4503599627370496;
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
  "own_loop": "it samples with a loop or a guider of its own, which a steered model does not reach; {remedy}",
  "own_prompt": "no prompt leads to it by wire, and what is typed into it is not steered",
  "own_model": "it runs a model of its own, which cannot be steered",
  "own_model_wan": "it runs a model of its own; put Apply Safety Steer (WanVideoWrapper) on its text_embeds",
  "own_model_conditioning": "it runs a model of its own; put Apply Safety Steer (Conditioning) on its prompt",
  "remedy": "put Apply Safety Steer (Conditioning) on its {names}",
  "in_pipe": "its model comes inside a pipe from {node}; take the pipe apart and connect the model, or steer by hand",
  "hidden": "its model and its prompt come inside a data stream, which cannot be opened",
  "prompt_in_pipe": "its prompt comes inside a pipe from {nodes}, which shows no CLIP; connect the prompt, or steer by hand",
  "no_clip": "the CLIP input of {nodes} before it has no wire",
  "broadcast": "its {name} input has no wire that the file notes; {nodes} may fill it when the workflow runs: connect it",
  "get_elsewhere": "its prompt is read by a Get node from a Set that is not in its graph; lead the wire in",
  "through": "with {node}, whose model it takes on",
  "missed": "not steered: {texts}",
  "missed_inside": "the prompt that {nodes} puts into the model",
  "missed_beside": "the texts of {nodes}",
  "missed_others": "its {names}",
  "group_node": "it is a group node that holds {nodes}; ungroup it, or make it a subgraph",
};
