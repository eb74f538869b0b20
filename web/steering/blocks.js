// Blocks: subgraphs that hold steering and nothing else, such as the pack's blueprint. They are placed by hand, and stay whole.
// The rules are those of safety_steer/workflow/editor/blocks.py.

import { REPORTING, SCORING, STEERING, SUPPLYING } from "./pack_nodes.js";
import { NOTES } from "./rules.js";
import { wireInto } from "./sockets.js";

/** Tell whether a subgraph holds the pack's steering nodes and nothing else; blocks within it count as steering. */
export function isBlock(subgraph) {
  const nodes = subgraph.nodes.filter((node) => !NOTES.includes(node.type));
  return nodes.length > 0 && nodes.every(steers);
}

const steers = (node) => (node.subgraph ? isBlock(node.subgraph) : Object.hasOwn(STEERING, node.type) || SUPPLYING.includes(node.type));

/** Return every node that stands for a block; blocks within blocks are part of those. The first graph is the root. */
export function blocksOf(graphs) {
  const open = graphs.filter((graph, place) => place === 0 || !isBlock(graph));
  return open.flatMap((graph) => graph.nodes.filter(({ subgraph }) => subgraph && isBlock(subgraph)));
}

/** Tell whether a node is a report or a score of what a block does. */
export function reportsOnBlock(graph, node) {
  if (![REPORTING, SCORING].includes(node.type)) return false;
  const wires = node.inputs.map((socket) => wireInto(graph, socket)).filter(Boolean);
  return wires.some((wire) => {
    const inner = graph.getNodeById(wire.origin)?.subgraph;
    return !!inner && isBlock(inner);
  });
}
