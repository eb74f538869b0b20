// What the window's commands say: what became of the samplers, in words for people.

import { APPLY, TITLES } from "./pack_nodes.js";
import { LEFT, STEER, STEERED, TEXTS } from "./rules.js";
import { text } from "./sockets.js";

const PART = "in part";
const WORDS = { [STEER]: "steered now", [STEERED]: "steered already", [PART]: "steered in part", [LEFT]: "left alone" };
const MOST_LINES = 8;

/** Sum up what became of the samplers. @param {import("./plan.js").Verdict[]} verdicts */
export function added(verdicts) {
  if (!verdicts.length) return `Nothing to steer: ${filled(TEXTS.no_sampler, { what: "this workflow" })}`;
  const counts = Object.keys(WORDS).map((state) => [verdicts.filter((one) => shown(one) === state).length, state]);
  const parts = counts.filter(([count]) => count).map(([count, state]) => `${number(count, "sampler")} ${WORDS[state]}`);
  return `${verdicts.some((one) => one.state === STEER) ? "Safety steering added" : "Nothing changed"}: ${parts.join(", ")}`;
}

/** Sum up what was taken out. @param {number} samplers How many were steered. @param {number} nodes */
export function removed(samplers, nodes) {
  if (!nodes) return "Nothing to remove: this workflow has no safety steering";
  return `Safety steering removed: ${number(samplers, "sampler")} no longer steered, ${number(nodes, "node")} taken out`;
}

/** Say which blocks stay, and what can be done. @param {any[]} blocks Nodes that stand for them. */
export function stay(blocks) {
  return blocks.length ? filled(TEXTS.blocks_stay, { nodes: blocks.map(nameOf).join(", ") }) : "";
}

/** List the samplers that have something to be said about, in lines. */
export function details(verdicts, root) {
  const told = verdicts.filter((one) => one.reason || one.missed);
  const lines = told.map((one) => [`${label(one, root)}: ${WORDS[shown(one)]}`, one.reason, one.missed].filter(Boolean).join(", "));
  const more = lines.length - MOST_LINES;
  return [...lines.slice(0, MOST_LINES), ...(more > 0 ? [`and ${more} more`] : [])].join("\n");
}

/**
 * Return the state a sampler is counted under: one that reads prompts which are not steered is steered in part.
 * @param {import("./plan.js").Verdict} verdict
 */
const shown = ({ state, missed }) => (missed && state !== LEFT ? PART : state);

/** Put values into a text of the command line's, where it has their names in braces. */
export const filled = (template, values) => template.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === "number" ? values[name] : text(values[name])));

/** Name a node that steers for people, or the subgraph that one is in. */
export const nameOf = ({ id, title, subgraph }) =>
  filled(TEXTS.node, { title: subgraph ? text(title) || subgraph.name : TITLES[APPLY], id });

/** Name a sampler for people: title or type, id and subgraph. */
function label({ graph, node }, root) {
  return `${text(node.title) || text(node.type)} #${node.id}${graph === root ? "" : ` in ${text(graph.name)}`}`;
}

const number = (count, what) => `${count} ${what}${count === 1 ? "" : "s"}`;
