// What steering reaches: where a model is put into a pipe, and which prompts a steered model does not read.
// The rules are those of safety_steer/workflow/reach.py.

import { OWN_NODES } from "./pack_nodes.js";
import { isKnownAs, isPipe, member } from "./packs.js";
import { CONDITIONING, GROUPED, NEGATIVE, REFINER, TEXTS } from "./rules.js";
import { isFed, isKind, text, wireInto, wireKey } from "./sockets.js";
import { Walker } from "./trace.js";
import { filled } from "./words.js";

/** @typedef {import("./sockets.js").Wire} Wire */
/** @typedef {import("./samplers.js").Sampler} Sampler */
/** @typedef {{node: any, slot: number, wire: Wire}} Place An input that Apply goes before, and the wire that leads to it, or will. */

export const WAN_TEXT = "WANVIDEOTEXTEMBEDS";

/**
 * Return where a model is put into the pipe that a sampler takes; the type of the node that hides it, if there is no place.
 * @param {Walker} walker @param {Sampler} sampler @param {Wire} pipe @returns {Place|string}
 */
export function supply(walker, { graph, node: sampler, models }, pipe) {
  const seen = new Set();
  /** @type {Wire} */
  let wire = { ...pipe, member: "model" };
  while (!seen.has(wireKey(wire))) {
    seen.add(wireKey(wire));
    const node = walker.node(graph, wire);
    if (!node) break;
    const [further] = walker.behind(graph, wire, "MODEL");
    if (!further) {
      const slot = (node.outputs ?? []).findIndex((socket) => isKind(socket, "MODEL"));
      return slot >= 0 && models.length ? { node: sampler, slot: models[0], wire: { origin: node.id, slot } } : text(node.type);
    }
    if (!further.member) {
      const leads = (socket) => isKind(socket, "MODEL") && sameWire(wireInto(graph, socket), further);
      return { node, slot: node.inputs.findIndex(leads), wire: further };
    }
    wire = further;
  }
  return walker.graphs[0] === graph ? "it" : text(graph.name) || "it";
}

const sameWire = (one, other) => !!one && wireKey(one) === wireKey(other);

/** Return the slots of conditioning that a sampler is given and that is not negative by its name. @param {Sampler} sampler */
export function promptInputs({ graph, node }) {
  const inputs = node.inputs ?? [];
  const isNegative = (name) => NEGATIVE.some((part) => name.startsWith(part) || name.endsWith(part));
  return [...inputs.keys()].filter((slot) => {
    const socket = inputs[slot];
    return isKind(socket, CONDITIONING) && isFed(graph, socket) && !isNegative(member(socket.name));
  });
}

/** Say why a sampler is not steered by its model, and what can be done. @param {Sampler} sampler */
export function whyForeign(sampler) {
  const inputs = sampler.node.inputs ?? [];
  const prompts = promptInputs(sampler);
  if (inputs.some((one) => isKind(one, "MODEL")) && !isKnownAs(sampler.node.type, "own model")) {
    const names = prompts.map((slot) => text(inputs[slot].name)).join(", ");
    return prompts.length ? filled(TEXTS.own_loop, { remedy: filled(TEXTS.remedy, { names }) }) : TEXTS.own_prompt;
  }
  if (inputs.some((one) => isKind(one, WAN_TEXT))) return TEXTS.own_model_wan;
  if (isKnownAs(sampler.node.type, "hidden")) return TEXTS.hidden;
  return prompts.length ? TEXTS.own_model_conditioning : TEXTS.own_model;
}

/** Say which prompts go to a sampler past its steered one; empty when none does. */
export function missed(graphs, sampler, model, prompt) {
  const walker = new Walker(graphs, true);
  const { graph, node, positive } = sampler;
  const inside = walker.passed(graph, model, "MODEL").filter(([within, one]) => holdsPrompt(walker, within, one));
  const beside = walker.upstream(graph, prompt, CONDITIONING).filter((one) => isKnownAs(one.type, "prompt beside") && !walker.off(one));
  const texts = promptInputs(sampler).filter((slot) => slot !== positive);
  const pipes = node.inputs.filter((one) => isPipe(one) && isFed(graph, one)).slice(1);
  const own = node.inputs.filter((one) => isKind(one, "MODEL") && isRefiner(one) && isFed(graph, one));
  const refiners = [...(model.member ? refinersOf(walker, graph, model) : []), ...own];
  const others = [...texts.map((slot) => node.inputs[slot]), ...pipes, ...refiners, ...otherModels(graphs, sampler, model)];
  const names = others.map(({ name }) => text(name));
  const found = [
    said("missed_inside", [...new Set(inside.map(([, one]) => one.type))]),
    said("missed_beside", [...new Set(beside.map((one) => one.type))]),
    said("missed_others", names),
  ].filter(Boolean);
  return found.length ? filled(TEXTS.missed, { texts: found.join(", ") }) : "";
}

const said = (key, names) => (names.length ? filled(TEXTS[key], { nodes: names.join(", "), names: names.join(", ") }) : "");

/** Return the inputs by which a refiner's pipe comes into one that a sampler takes. */
const refinersOf = (walker, graph, pipe) =>
  walker
    .passed(graph, pipe, "MODEL")
    .flatMap(([at, node]) =>
      (node.inputs ?? []).filter((one) => isPipe(one) && isFed(at, one) && isRefiner(one)),
    );

const isRefiner = ({ name }) => text(name).includes(REFINER);

/** Return the inputs by which models besides the steered one come into the pipe that a sampler takes. */
function otherModels(graphs, sampler, model) {
  const place = model.member ? supply(new Walker(graphs, false), sampler, model) : "";
  if (typeof place === "string") return [];
  return place.node.inputs.filter((one, slot) => isKind(one, "MODEL") && isFed(sampler.graph, one) && slot !== place.slot);
}

/** Tell whether a node takes a prompt and gives only a model: the prompt is in it. */
function holdsPrompt(walker, graph, node) {
  const own = OWN_NODES.includes(node.type);
  if (walker.off(node) || node.subgraph || own || isKnownAs(node.type, "no prompt")) return false;
  const takes = (node.inputs ?? []).some((one) => isKind(one, CONDITIONING) && isFed(graph, one));
  const outputs = node.outputs ?? [];
  return isKnownAs(node.type, "prompt in model") || (takes && outputs.length > 0 && outputs.every((one) => one.type === "MODEL"));
}

/** Say why an input has no wire: none is drawn, it is broken, or a node fills it only when the workflow runs. */
export function nothingConnected(graph, { link, name }) {
  const types = graph.nodes.map((node) => node.type).filter((type) => isKnownAs(type, "broadcaster"));
  if (link == null && types.length) return filled(TEXTS.broadcast, { name, nodes: [...new Set(types)].join(", ") });
  return filled(link == null ? TEXTS.empty_input : TEXTS.broken_wire, { name });
}

/** Name the group nodes of older files that hold a sampler and its prompt, as samplers with a reason. */
export function groupNodes(graphs, judged) {
  const groups = graphs[0].extra?.groupNodes;
  return graphs.flatMap((graph) =>
    graph.nodes.flatMap((node) => {
      const start = GROUPED.find((one) => text(node.type).startsWith(one));
      const held = start && groups?.[node.type.slice(start.length)]?.nodes;
      const types = Array.isArray(held) ? held.map((one) => text(one?.type)) : [];
      const samplers = types.filter((type) => /sampler|guider/i.test(type));
      if (!samplers.length || judged.includes(node)) return [];
      return [{ graph, node, reason: filled(TEXTS.group_node, { nodes: [...new Set(samplers)].join(", ") }) }];
    }),
  );
}
