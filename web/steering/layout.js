// Free room on the canvas: where a new node goes so that it hides nothing and lies where a person would put it.

import { GAP, REACH, STEP, TITLE } from "./rules.js";

/** How much taller than its size says Nodes 2.0 draws a node: by the row with its pack's name, and a little for each widget. */
const PACK_ROW = 30;
const WIDGET_ROW = 5;

/** @typedef {{left: number, top: number, right: number, bottom: number}} Box  Title bars included. */

/** @param {number[]} corner @param {number[]} size @returns {Box} */
const boxAt = ([left, top], [width, height], title = TITLE) => ({
  left,
  top: top - title,
  right: left + width,
  bottom: top + height,
});

/** Return the size a node is drawn with, without its title. */
const drawnSize = ({ size, widgets }) => {
  const more = LiteGraph.vueNodesMode ? PACK_ROW + WIDGET_ROW * (widgets?.length ?? 0) : 0;
  return [size[0], size[1] + more];
};

const nodeBox = (node) => boxAt(node.pos, drawnSize(node));

const meets = (one, other, gap = 0) =>
  one.left < other.right + gap && other.left < one.right + gap && one.top < other.bottom + gap && other.top < one.bottom + gap;

const holds = (outer, inner) =>
  outer.left <= inner.left && outer.top <= inner.top && inner.right <= outer.right && inner.bottom <= outer.bottom;

/** Return the position of a new node beside another, before it on the wire. */
export const leftOf = (node, added) => [node.pos[0] - added.size[0] - GAP, node.pos[1]];

/** Return the position of a new node under another, or beside the inputs of the subgraph when there is no other. */
export function below(graph, node) {
  if (node) return [node.pos[0], node.pos[1] + drawnSize(node)[1] + TITLE + GAP];
  const { pos, size } = graph.inputNode;
  return [pos[0] + size[0] + GAP, pos[1] + size[1] + TITLE + GAP];
}

/**
 * Return the free position nearest to the wanted one for a new node. No node, and no group that `beside` is not in, is
 * touched; a group that it is in holds the new node or is left alone.
 */
export function findRoom(graph, wanted, added, beside) {
  const ends = [graph.inputNode, graph.outputNode].filter(Boolean).map((end) => boxAt(end.pos, end.size, 0));
  const taken = [...graph.nodes.map(nodeBox), ...ends];
  const groups = (graph.groups ?? []).map((group) => boxAt(group.pos, group.size, 0));
  const home = beside && nodeBox(beside);
  for (const [right, down] of steps()) {
    const place = [wanted[0] + right, wanted[1] + down];
    const box = boxAt(place, drawnSize(added));
    const fits = (group) => !meets(box, group, GAP / 2) || (holds(group, box) && home && meets(group, home));
    if (!taken.some((other) => meets(box, other, GAP / 2)) && groups.every(fits)) return place;
  }
  return [wanted[0], Math.max(...[...taken, ...groups].map((box) => box.bottom)) + TITLE + GAP];
}

/** Return steps away from a place, nearest first; at the same distance, up and left come first. */
function steps() {
  const span = Array.from({ length: 2 * REACH + 1 }, (_, index) => (index - REACH) * STEP);
  const found = span.flatMap((right) => span.map((down) => [right, down]));
  return found.sort((one, other) => Math.hypot(...one) - Math.hypot(...other) || one[1] - other[1] || one[0] - other[0]);
}
