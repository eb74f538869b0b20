// What is to be done with every sampler of a workflow: steer it with the CLIP of its prompt, or leave it, and why.
// The rules are those of safety_steer/workflow/plan.py, samplers.py and messages.py.

import { APPLY, ON_CONDITIONING, TITLES } from "./pack_nodes.js";
import { distinct, readPrompt, usedWith } from "./prompts.js";
import { CONDITIONING, LEFT, POSITIVE, RESULTS, STEER, STEERED, TEXTS } from "./rules.js";
import { allGraphs, isKind, isOff, Walker, wireInto } from "./trace.js";
import { filled, nameOf } from "./words.js";

/**
 * One sampler and what becomes of it; `source` and `walker` for STEER alone, `off` for steering that is switched off.
 * @typedef {{graph: any, node: any, model: number, state: string, reason: string, off?: boolean, source?: any, walker?: Walker}} Verdict
 */

/** Judge every sampler of a workflow. @param {any} root The root graph. @returns {Verdict[]} */
export function plan(root) {
  const graphs = allGraphs(root);
  return graphs.flatMap((graph) =>
    graph.nodes.flatMap((node) => {
      const slots = samplerSlots(node);
      return slots ? [{ graph, node, model: slots.model, reason: "", ...judge(graphs, graph, node, slots) }] : [];
    }),
  );
}

/** Return the slots of a sampler's model and positive conditioning; undefined for a node that does not sample. */
function samplerSlots(node) {
  const outputs = node.outputs ?? [];
  const inputs = node.inputs ?? [];
  if (node.subgraph || node.type in TITLES) return undefined;
  if (outputs.some((socket) => isKind(socket, "MODEL"))) return undefined;
  if (!outputs.some((socket) => RESULTS.some((kind) => isKind(socket, kind)))) return undefined;
  const models = [...inputs.keys()].filter((slot) => isKind(inputs[slot], "MODEL"));
  const model = models.find((slot) => inputs[slot].name === "model") ?? models[0];
  const positive = inputs.findIndex((socket) => isKind(socket, CONDITIONING) && POSITIVE.includes(socket.name));
  return model === undefined || positive < 0 ? undefined : { model, positive };
}

function judge(graphs, graph, node, slots) {
  const model = wireInto(graph, node.inputs[slots.model]);
  const positive = wireInto(graph, node.inputs[slots.positive]);
  if (!model) return { state: LEFT, reason: nothingConnected(node.inputs[slots.model]) };
  const apply = steering(graphs, graph, model, "MODEL", APPLY);
  const off = apply.find(isOff);
  if (apply.length) return { state: STEERED, off: !!off, reason: off ? switchedOff(off) : within(apply) };
  if (!positive) return { state: LEFT, reason: nothingConnected(node.inputs[slots.positive]) };
  const before = steering(graphs, graph, positive, CONDITIONING, ON_CONDITIONING);
  if (before.length && !before.some(isOff)) return { state: STEERED, reason: within(before) };
  let reason = "";
  for (const live of [true, false]) {
    const walker = new Walker(graphs, live);
    const prompt = readPrompt(walker, graph, positive);
    const sources = distinct(walker, graph, prompt.sources);
    reason = obstacle(walker, graph, sources, prompt.ends);
    if (!reason) return { state: STEER, source: sources[0], walker };
  }
  return { state: LEFT, reason };
}

/**
 * Return the steering node a wire comes through, and the subgraphs on the way to it, from the inside out; one that is switched
 * on if there is one. Without any the list is empty.
 */
function steering(graphs, graph, wire, kind, type) {
  const passed = new Walker(graphs, false).upstream(graph, wire, kind);
  const found = passed.filter((node) => node.type === type).map((node) => [node, ...around(graphs, passed, node)]);
  return found.find((nodes) => !nodes.some(isOff)) ?? found[0] ?? [];
}

/** Return the nodes that stand for a node's graph and for those around it, among the nodes that a wire comes through. */
function around(graphs, passed, node) {
  const within = graphs.find((graph) => graph.nodes.includes(node));
  const holders = passed.filter((one) => one.subgraph === within);
  const holder = holders.find((one) => !isOff(one)) ?? holders[0];
  return holder ? [holder, ...around(graphs, passed, holder)] : [];
}

/** Say why a prompt's CLIP cannot be used; empty when it can. */
function obstacle(walker, graph, sources, ends) {
  if (!sources.length) return noText(ends);
  return sources.length > 1 ? severalClips(sources.length) : obstacleWithin(walker, graph, sources[0]);
}

/** Look at every place a subgraph is used in, when its conditioning comes from outside. */
function obstacleWithin(walker, graph, source) {
  if ("inside" in source) return obstacleWithin(walker, source.inside.subgraph, source.source);
  if (!("outside" in source)) return "";
  const places = usedWith(walker, graph, source.outside);
  for (const [outer, , sources] of places) {
    if (!sources.length) return places.length > 1 ? noTextOutside(graph) : noText(endsOutside(walker, graph, source.outside));
    if (sources.length > 1) return severalClips(sources.length);
    const reason = obstacleWithin(walker, outer, sources[0]);
    if (reason) return reason;
  }
  return "";
}

/** Return where the conditioning that comes into a subgraph starts, for the message that it is no text. */
function endsOutside(walker, graph, slot) {
  const nodes = walker.places(graph).flatMap(([outer, node]) => {
    const wire = walker.outside(graph, slot, outer, node);
    return wire ? walker.upstream(outer, wire, CONDITIONING) : [];
  });
  return nodes.slice(-1).map((node) => node.type);
}

const nothingConnected = (socket) => filled(socket.link == null ? TEXTS.empty_input : TEXTS.broken_wire, { name: socket.name });

const switchedOff = (node) => filled(TEXTS.switched_off, { node: nameOf(node) });

const within = (nodes) => (nodes.length > 1 ? filled(TEXTS.within, { node: nameOf(nodes.at(-1)) }) : "");

const noText = (ends) => filled(ends.length ? TEXTS.not_text : TEXTS.no_prompt, { nodes: [...new Set(ends)].join(", ") });

const noTextOutside = (graph) => filled(TEXTS.no_text_outside, { graph: graph.name });

const severalClips = (count) => filled(TEXTS.several_clips, { count });
