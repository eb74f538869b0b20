// Subgraphs in each other: some would never end, and some not soon.
// The rules are those of safety_steer/workflow/format_check.py, which refuses such files.

import { MAX_NESTING, MAX_USED } from "./rules.js";
import { text } from "./sockets.js";

/** Throw where subgraphs hold themselves, lie too deep, or stand for too many nodes. @param {any} root The root graph. */
export function checkNesting(root) {
  const known = new Map();
  const used = (graph, within) => {
    if (within.length > MAX_NESTING) throw new Error(`Its subgraphs lie more than ${MAX_NESTING} deep within each other`);
    let count = graph.nodes.length;
    for (const { subgraph } of graph.nodes) {
      if (!subgraph) continue;
      if (within.includes(subgraph)) throw new Error(`Its subgraph ${text(subgraph.name)} holds itself: open it and take it out of itself`);
      if (!known.has(subgraph)) known.set(subgraph, used(subgraph, [...within, subgraph]));
      count += known.get(subgraph);
    }
    return count;
  };
  const count = used(root, []);
  if (count > MAX_USED) throw new Error(`It has ${count} nodes, those of subgraphs counted wherever they are used; at most ${MAX_USED} are read`);
}
