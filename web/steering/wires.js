// Wires of the editor, from both ends: where an output leads, and how a wire is led to another end.

import { EXIT, MAX_ID } from "./rules.js";
import { fromEntry, list, number, socketAt, text } from "./sockets.js";

/** @typedef {import("./sockets.js").Wire} Wire */

/** Return the links that start at an output of a node and have a socket at their end. */
export const linksFrom = (graph, node, slot) =>
  list(node.outputs?.[slot]?.links)
    .map((id) => graph.getLink(id))
    .filter((link) => link && endOf(graph, link));

/** Throw where a wire has a list or an object for its id or for an end: the editor ends on some of these when it takes a node out. */
export function checkWires(graphs) {
  const values = (link) => [link.id, link.origin_id, link.origin_slot, link.target_id, link.target_slot];
  const isOdd = (value) => value !== null && typeof value === "object";
  for (const graph of graphs) {
    for (const link of graph.links?.values?.() ?? []) {
      if (values(link).some(isOdd)) throw new Error("One of its wires has no plain id, node or slot: draw it anew, or give a file that ComfyUI has saved");
    }
  }
}

/** Return the socket that a link ends at. */
function endOf(graph, { target_id: id, target_slot: slot }) {
  if (typeof id === "object") return undefined;
  return socketAt(number(id) === EXIT ? graph.outputs : graph.getNodeById(id)?.inputs, slot);
}

/**
 * Lead a wire to an input of a node, or to an output of the subgraph (its `outputNode`), over reroute points if there are some.
 * @param {Wire} wire @param {number} [reroute] The last reroute point before the end.
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
  if (!link && leaves) throw new Error(`${text(origin.title)} cannot leave ${text(graph.name)}`);
  if (!link) throw new Error(`${text(target.title)} does not take a wire into its input ${text(target.inputs[slot]?.name)}`);
}

/**
 * Let new wires and nodes get ids that are free: files can count fewer than they hold, or hold no number there, and some front ends
 * believe it, so that a new wire takes the place of one that is there. Throws where no higher ids can be told apart.
 */
export function passTakenIds(graphs) {
  const highest = (ids) => ids.map(number).filter(Number.isFinite).reduce((one, other) => Math.max(one, other), 0);
  const nodes = highest(graphs.flatMap((graph) => graph.nodes.map((node) => node.id)));
  const links = highest(graphs.flatMap((graph) => [...(graph.links?.values?.() ?? [])].map((link) => link.id)));
  const counted = highest(graphs.flatMap(({ state }) => [state?.lastNodeId, state?.lastLinkId]));
  if (Math.max(nodes, links, counted) >= MAX_ID) throw new Error(`Its nodes or wires have ids of ${MAX_ID} or more, after which ComfyUI cannot count on`);
  const behind = (counter, taken) => !(Number.isFinite(number(counter)) && number(counter) >= taken);
  for (const { state } of graphs) {
    if (state && behind(state.lastNodeId, nodes)) state.lastNodeId = nodes;
    if (state && behind(state.lastLinkId, links)) state.lastLinkId = links;
  }
}

/** Note the wires of nodes whose types are missing where those are kept: they are saved as they were loaded. */
export function noteWires(graphs) {
  for (const node of graphs.flatMap((graph) => graph.nodes)) {
    const saved = node.last_serialization;
    if (!saved?.inputs && !saved?.outputs) continue;
    const inputs = list(saved.inputs).map((socket, slot) => ({ ...socket, link: node.inputs?.[slot]?.link ?? null }));
    const outputs = list(saved.outputs).map((socket, slot) => ({ ...socket, links: [...list(node.outputs?.[slot]?.links)] }));
    node.last_serialization = { ...saved, ...(inputs.length && { inputs }), ...(outputs.length && { outputs }) };
  }
}
