// Wires of the editor, from both ends: where an output leads, and how a wire is led to another end.

import { fromEntry } from "./trace.js";

/** @typedef {import("./trace.js").Wire} Wire */

/** Return the links that start at an output of a node. */
export const linksFrom = (graph, node, slot) =>
  (node.outputs?.[slot]?.links ?? []).map((id) => graph.getLink(id)).filter(Boolean);

/**
 * Lead a wire to an input of a node, or to an output of the subgraph (its `outputNode`), over reroute points if there are some.
 * @param {Wire} wire
 */
export function connect(graph, wire, target, slot, reroute) {
  const leaves = target === graph.outputNode;
  const origin = fromEntry(wire) ? graph.inputs[wire.slot] : graph.getNodeById(wire.origin);
  // An older front end does not free an input from another node's wire when one comes from the subgraph's own inputs.
  if (fromEntry(wire) && target.inputs[slot].link != null) target.disconnectInput(slot, true);
  let link;
  if (fromEntry(wire)) link = origin.connect(target.inputs[slot], target, reroute);
  else if (leaves) link = graph.outputs[slot].connect(origin.outputs[wire.slot], origin, reroute);
  else link = origin.connect(wire.slot, target, slot, reroute);
  if (!link && leaves) throw new Error(`${origin.title} cannot leave ${graph.name}`);
  if (!link) throw new Error(`${target.title} does not take a wire into its input ${target.inputs[slot]?.name}`);
  if (target.last_serialization?.inputs) noteWire(target, slot, link.id);
}

/** Note a new wire where a node of a type that is missing is kept: it is saved as it was loaded. */
function noteWire(node, slot, id) {
  const saved = node.last_serialization;
  const inputs = saved.inputs.map((socket, index) => (index === slot ? { ...socket, link: id } : socket));
  node.last_serialization = { ...saved, inputs };
}
