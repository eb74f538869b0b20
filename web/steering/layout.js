// Free room on the canvas: where a new node goes so that it hides nothing and lies where a person would put it.

import { GAP, REACH, STEP, TITLE } from "./rules.js";

/** How much taller than its size says Nodes 2.0 draws a node: by the row with its pack's name, and a little for each widget. */
const PACK_ROW = 30;
const WIDGET_ROW = 5;
const SPAN = 2 * REACH + 1;
/** The size taken for a node whose own is no pair of numbers, as in safety_steer/workflow/editor/layout.py. */
const SOMEWHERE = [210, 100];

/** @typedef {{left: number, top: number, right: number, bottom: number}} Box  Title bars included. */

/** @param {number[]} corner @param {number[]} size @returns {Box} */
const boxAt = ([left, top], [width, height], title = TITLE) => ({
  left,
  top: top - title,
  right: left + width,
  bottom: top + height,
});

/** Return two numbers of a file; others in place of those that are none. @param {any} found @param {number[]} otherwise */
const pair = (found, otherwise) => otherwise.map((number, at) => (Number.isFinite(found?.[at]) ? found[at] : number));

/** Return where a node or an end of a subgraph is. */
const cornerOf = ({ pos }) => pair(pos, [0, 0]);

/** Return the size a node is drawn with, without its title. */
const drawnSize = ({ size, widgets }) => {
  const more = LiteGraph.vueNodesMode ? PACK_ROW + WIDGET_ROW * (widgets?.length ?? 0) : 0;
  const [width, height] = pair(size, SOMEWHERE);
  return [width, height + more];
};

const nodeBox = (node) => boxAt(cornerOf(node), drawnSize(node));

/** Return the box of a group, or of an end of a subgraph. */
const plainBox = (item) => boxAt(cornerOf(item), pair(item.size, [0, 0]), 0);

const meets = (one, other) =>
  one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;

/** Return the position of a new node beside another, before it on the wire. */
export function leftOf(node, added) {
  const [left, top] = cornerOf(node);
  return [left - added.size[0] - GAP, top];
}

/** Return the position of a new node under another, or beside the inputs of the subgraph when there is no other. */
export function below(graph, node) {
  if (node) {
    const [left, top] = cornerOf(node);
    return [left, top + drawnSize(node)[1] + TITLE + GAP];
  }
  const { right, bottom } = plainBox(graph.inputNode);
  return [right + GAP, bottom + TITLE + GAP];
}

/**
 * Return the free position nearest to the wanted one for a new node. No node, and no group that `beside` is not in, is
 * touched; a group that it is in holds the new node or is left alone.
 */
export function findRoom(graph, wanted, added, beside) {
  const ends = [graph.inputNode, graph.outputNode].filter(Boolean).map(plainBox);
  const taken = [...graph.nodes.map(nodeBox), ...ends];
  const groups = (graph.groups ?? []).map(plainBox);
  const home = beside && nodeBox(beside);
  const tries = new Tries(wanted, drawnSize(added));
  for (const box of taken) tries.block(tries.meeting(box));
  for (const group of groups) {
    tries.block(tries.meeting(group), home && meets(group, home) ? tries.heldBy(group) : undefined);
  }
  const place = tries.firstFree();
  return place ?? [wanted[0], [...taken, ...groups].reduce((most, { bottom }) => Math.max(most, bottom), -Infinity) + TITLE + GAP];
}

/** @typedef {{columns: [number, number], lines: [number, number]}} Part  Some of the places: from, up to but without. */

/**
 * The places tried for a new node, as columns and lines around the wanted one. A box meets the places of some columns and
 * lines that follow each other, and holds others: no place is compared with each box.
 */
class Tries {
  /** @param {number[]} wanted @param {number[]} size */
  constructor([left, top], [width, height]) {
    const steps = Array.from({ length: SPAN }, (_, index) => (index - REACH) * STEP);
    this.across = steps.map((step) => ({ at: left + step, from: left + step, to: left + step + width }));
    this.down = steps.map((step) => ({ at: top + step, from: top + step - TITLE, to: top + step + height }));
    this.taken = new Uint8Array(SPAN * SPAN);
  }

  /** Return the places that overlap a box, or come too close to it. @param {Box} box @returns {Part} */
  meeting({ left, right, top, bottom }) {
    const gap = GAP / 2;
    return {
      columns: between(this.across, ({ to }) => left < to + gap, ({ from }) => from < right + gap),
      lines: between(this.down, ({ to }) => top < to + gap, ({ from }) => from < bottom + gap),
    };
  }

  /** Return the places that lie within a box. @param {Box} box @returns {Part} */
  heldBy({ left, right, top, bottom }) {
    return {
      columns: between(this.across, ({ from }) => left <= from, ({ to }) => to <= right),
      lines: between(this.down, ({ from }) => top <= from, ({ to }) => to <= bottom),
    };
  }

  /** Take places off the list, but not those of the second part. @param {Part} part @param {Part} [but] */
  block({ columns, lines }, but) {
    for (let line = lines[0]; line < lines[1]; line++) {
      const spared = but && line >= but.lines[0] && line < but.lines[1] ? but.columns : [columns[1], columns[1]];
      this.taken.fill(1, line * SPAN + columns[0], line * SPAN + Math.max(columns[0], Math.min(columns[1], spared[0])));
      this.taken.fill(1, line * SPAN + Math.max(columns[0], spared[1]), line * SPAN + Math.max(columns[0], columns[1]));
    }
  }

  /** Return the free place nearest to the wanted one; at the same distance, up and left come first. */
  firstFree() {
    const found = nearest().find(([column, line]) => !this.taken[line * SPAN + column]);
    return found && [this.across[found[0]].at, this.down[found[1]].at];
  }
}

/** Return the first that is far enough, and the first after it that is too far; both by halving. @returns {[number, number]} */
function between(places, enough, notTooFar) {
  return [firstWhere((index) => enough(places[index])), firstWhere((index) => !notTooFar(places[index]))];
}

function firstWhere(test) {
  let [low, high] = [0, SPAN];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (test(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** @type {[number, number][] | undefined} */
let order;

/** Return columns and lines of the places, nearest first. @returns {[number, number][]} */
function nearest() {
  if (!order) {
    const span = Array.from({ length: SPAN }, (_, index) => index - REACH);
    const found = span.flatMap((right) => span.map((down) => [right, down]));
    found.sort((one, other) => Math.hypot(...one) - Math.hypot(...other) || one[1] - other[1] || one[0] - other[0]);
    order = found.map(([right, down]) => [right + REACH, down + REACH]);
  }
  return order;
}
