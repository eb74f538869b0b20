// Which nodes of a workflow sample, or may. The rules are those of safety_steer/workflow/samplers.py.

import { OWN_NODES } from "./pack_nodes.js";
import { isKnownAs, isPipe, member } from "./packs.js";
import { ASIDE, CONDITIONING, FOREIGN, GIVES, GROUPED, GUIDER, HARMLESS, NOTES, POSITIVE, RESULTS } from "./rules.js";
import { isFed, isKind, text } from "./sockets.js";

/** @typedef {{graph: any, node: any, models: number[], positive: number, pipe: number}} Sampler Slots are -1 where there is none. */

/** Return what samples, or may, in these graphs, each once, in order. @param {any[]} graphs @returns {Sampler[]} */
export const findSamplers = (graphs) =>
  graphs.flatMap((graph) =>
    graph.nodes.flatMap((node) => {
      const own = node.subgraph || [...OWN_NODES, ...NOTES].includes(node.type);
      const slots = own ? undefined : slotsOf(graph, node);
      return slots ? [{ graph, node, ...slots }] : [];
    }),
  );

function slotsOf(graph, node) {
  if (isKnownAs(node.type, "no prompt", "pipe", "prompt in model")) return undefined;
  const inputs = node.inputs ?? [];
  const outputs = node.outputs ?? [];
  const isModel = (socket) => isKind(socket, "MODEL") && !ASIDE.some((part) => text(socket.name).includes(part));
  const models = [...inputs.keys()].filter((slot) => isModel(inputs[slot]));
  const positive = inputs.findIndex((socket) => isKind(socket, CONDITIONING) && POSITIVE.includes(member(socket.name)));
  const pipe = inputs.findIndex((socket) => isPipe(socket) && isFed(graph, socket));
  if (isKnownAs(node.type, "own loop", "own model", "other prompt", "hidden") || isForeign(node)) return { models, positive, pipe: -1 };
  if (!gives(node)) return undefined;
  if ((models.length && positive >= 0) || pipe >= 0) return { models, positive, pipe };
  const fed = inputs.filter((socket) => isFed(graph, socket));
  if (!fed.some((one) => isKind(one, "MODEL")) || GROUPED.some((start) => text(node.type).startsWith(start))) return undefined;
  if (fed.some((one) => isKind(one, GUIDER))) return { models, positive: -1, pipe: -1 };
  const prompted = fed.some((one) => isKind(one, CONDITIONING) || isKind(one, "CLIP"));
  return outputs.some((one) => isKind(one, "MODEL")) && !prompted ? undefined : { models, positive: -1, pipe: -1 };
}

/** Tell whether a node gives what a sampler does; one that lists no outputs is known by its type. */
function gives(node) {
  const outputs = node.outputs ?? [];
  return outputs.some((socket) => RESULTS.some((kind) => isKind(socket, kind))) || (!outputs.length && Object.hasOwn(GIVES, node.type));
}

/** Tell whether a node is called a sampler and takes a model that is none of ComfyUI's. */
function isForeign(node) {
  const types = (node.inputs ?? []).map((socket) => text(socket.type).toUpperCase());
  const foreign = types.some(
    (type) => FOREIGN.some((end) => type.endsWith(end)) && type !== "MODEL" && !HARMLESS.some((end) => type.endsWith(end)),
  );
  const called = text(node.type).toLowerCase().includes("sampler");
  return foreign && called && (node.outputs ?? []).length > 0 && !(node.inputs ?? []).some(isPipe);
}
