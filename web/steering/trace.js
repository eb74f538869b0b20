// Walking a workflow's wires backwards: through reroutes, switches, bypassed nodes and the edges of subgraphs.
// The rules are those of `safety-steer add` (safety_steer/workflow/trace.py); a test compares the two on every template.

import { feeding, passedOn, passesOn } from "./feeding.js";
import { checkNesting } from "./nesting.js";
import { isKnownAs } from "./packs.js";
import { ENTRY, MUTED, PASSING } from "./rules.js";
import { append, asking, fromEntry, isOff, text, wireInto, wireKey } from "./sockets.js";
import { checkWires } from "./wires.js";

/** @typedef {import("./sockets.js").Wire} Wire */
/** @typedef {import("./sockets.js").Graph} Graph */
/** @typedef {import("./sockets.js").Node} Node */
/** @typedef {import("./sockets.js").Socket} Socket */

/**
 * Return the root and every subgraph in use, each once; throws where subgraphs in each other would not end, or a wire is none.
 * @param {Graph} root @returns {Graph[]}
 */
export function allGraphs(root) {
  checkNesting(root);
  const graphs = [root];
  for (const graph of graphs) {
    for (const { subgraph } of graph.nodes) {
      if (subgraph && !graphs.includes(subgraph)) graphs.push(subgraph);
    }
  }
  checkWires(graphs);
  return graphs;
}

/** What Get nodes of a graph read by name from the graphs around it: an input each that no socket is drawn for. */
const BORROWED = new WeakMap();

/** Return the wire of what is read by a name from the graphs around: its slots count down from -1. @returns {Wire} */
function borrow(graph, name) {
  const names = BORROWED.get(graph) ?? [];
  BORROWED.set(graph, names);
  if (!names.includes(name)) names.push(name);
  return { origin: ENTRY, slot: -1 - names.indexOf(name) };
}

/** Knows how a wire is continued behind a node. When `live`, muted nodes end a wire and bypassed ones pass it on. */
export class Walker {
  /** @param {Graph[]} graphs @param {boolean} live */
  constructor(graphs, live) {
    this.graphs = graphs;
    this.live = live;
  }

  /** Return the node a wire starts at; undefined for the subgraph's own inputs. @returns {Node|undefined} */
  node(graph, wire) {
    return fromEntry(wire) ? undefined : (graph.getNodeById(wire.origin) ?? undefined);
  }

  off(node) {
    return this.live && isOff(node);
  }

  muted(node) {
    return this.live && node.mode === MUTED;
  }

  /** Return every node that stands for a subgraph, with the graph it lies in. @returns {[Graph, Node][]} */
  places(graph) {
    return this.graphs.flatMap((outer) =>
      outer.nodes.filter((node) => node.subgraph === graph).map((node) => [outer, node]),
    );
  }

  /** Return the wires of a type into the node a wire starts at, as far as they can become it. @returns {Wire[]} */
  behind(graph, wire, kind) {
    const found = this.taken(graph, wire, kind);
    const node = this.node(graph, wire);
    if (!found.length && node && !this.off(node) && isKnownAs(node.type, "get")) {
      const name = heldName(node);
      if (name !== undefined && this.isSetAround(graph, node, name)) return asking(borrow(graph, name), wire.member);
    }
    return found.flatMap(([socket, asked]) => asking(wireInto(graph, socket), asked));
  }

  /**
   * Return the inputs that can become a wire, of the node it starts at or of those that keep it, and what each is asked.
   * @returns {[Socket, string|undefined][]}
   */
  taken(graph, wire, kind) {
    const node = this.node(graph, wire);
    if (!node || this.muted(node)) return [];
    if (this.off(node)) {
      const carried = wire.member && node.outputs?.[wire.slot] ? node.outputs[wire.slot].type : kind;
      return passedOn(node, wire.slot, text(carried)).map((socket) => [socket, wire.member]);
    }
    if (isKnownAs(node.type, "get")) return setSockets(graph, heldName(node)).map((socket) => [socket, wire.member]);
    return feeding(graph, node, wire, kind);
  }

  /** Follow a wire to where it really starts within its graph: past nodes that are off or of these types. @returns {Wire} */
  plain(graph, wire, kind, passing = PASSING) {
    const seen = new Set([wireKey(wire)]);
    const goesOn = (node) => wire.member || this.off(node) || passing.includes(node.type) || passesOn(graph, node, wire.slot, kind);
    for (let node; (node = this.node(graph, wire)) && goesOn(node); ) {
      const [further] = this.behind(graph, wire, kind);
      if (!further || seen.has(wireKey(further))) return wire;
      wire = further;
      seen.add(wireKey(wire));
    }
    return wire;
  }

  /** Return what is connected to a subgraph's input, at one of the nodes that stand for it. @returns {Wire|undefined} */
  outside(inner, slot, outer, node) {
    if (slot < 0) return this.fromAround(outer, BORROWED.get(inner)?.[-1 - slot]);
    const name = inner.inputs[slot]?.name;
    return wireInto(outer, node.inputs?.find((socket) => socket.name === name));
  }

  /** Return what is kept under a name in a graph, or else in those around it. @returns {Wire|undefined} */
  fromAround(graph, name) {
    const [socket] = setSockets(graph, name);
    if (socket) return wireInto(graph, socket);
    return this.places(graph).length ? borrow(graph, name) : undefined;
  }

  /** Tell whether a Get of this type finds a name in a graph around its own. */
  isSetAround(graph, node, name) {
    const outer = isKnownAs(node.type, "get from around") ? this.places(graph).map(([one]) => one) : [];
    return [...new Set(outer)].some((one) => setSockets(one, name).length > 0 || this.isSetAround(one, node, name));
  }

  /** Return what leads, inside a subgraph, to an output of the node that stands for it. @returns {Wire[]} */
  innerWires(inner, node, slot) {
    const name = node.outputs?.[slot]?.name;
    const ids = inner.outputs.find((socket) => socket.name === name)?.linkIds ?? [];
    return ids.map((id) => wireInto(inner, { link: id })).filter(Boolean);
  }

  /** Return every node a wire of a type comes through, in all graphs. @returns {Node[]} */
  upstream(graph, wire, kind) {
    return this.passed(graph, wire, kind).map(([, node]) => node);
  }

  /** Return every node a wire of a type comes through, each with its graph and the wire it comes out by. @returns {[Graph, Node, Wire][]} */
  passed(graph, wire, kind) {
    /** @type {[Graph, Node, Wire][]} */
    const found = [];
    const waiting = [[graph, wire]];
    const seen = new Set();
    for (const [within, at] of waiting) {
      const key = `${this.graphs.indexOf(within)} ${wireKey(at)}`;
      if (seen.has(key)) continue;
      seen.add(key);
      if (fromEntry(at)) {
        for (const [outer, place] of this.places(within)) {
          append(waiting, asking(this.outside(within, at.slot, outer, place), at.member).map((one) => [outer, one]));
        }
        continue;
      }
      const node = this.node(within, at);
      if (!node) continue;
      found.push([within, node, at]);
      const inner = this.off(node) ? undefined : node.subgraph;
      if (inner) append(waiting, this.innerWires(inner, node, at.slot).flatMap((one) => asking(one, at.member)).map((one) => [inner, one]));
      else append(waiting, this.behind(within, at, kind).map((one) => [within, one]));
    }
    return found;
  }
}

/** Return the inputs of the Set nodes that keep something under a name. */
function setSockets(graph, name) {
  const setters = graph.nodes.filter((other) => isKnownAs(other.type, "set") && name !== undefined && heldName(other) === name);
  return setters.flatMap((setter) => (setter.inputs ?? []).slice(0, 1));
}

function heldName(node) {
  const value = node.widgets?.[0]?.value ?? node.widgets_values?.[0];
  return typeof value === "string" ? value : undefined;
}
