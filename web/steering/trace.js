// Walking a workflow's wires backwards: through reroutes, switches, bypassed nodes and the edges of subgraphs.
// The rules are those of `safety-steer add` (safety_steer/workflow/trace.py); a test compares the two on every template.

import { BYPASSED, CONDITIONING, ENTRY, GET, MUTED, PAIR, PASSING, SET, UNTOLD } from "./rules.js";

/** @typedef {{origin: number|string, slot: number}} Wire  An output that links start at, within one graph. */
/** @typedef {any} Graph  The root graph, or a subgraph's definition, of the editor. */
/** @typedef {any} Node   A node of the editor. */
/** @typedef {any} Socket An input or output of a node. */

/** Return the root and every subgraph in use, each once. @param {Graph} root @returns {Graph[]} */
export function allGraphs(root) {
  const graphs = [root];
  for (const graph of graphs) {
    for (const { subgraph } of graph.nodes) {
      if (subgraph && !graphs.includes(subgraph)) graphs.push(subgraph);
    }
  }
  return graphs;
}

/** Tell whether a socket is of a type such as "MODEL"; some sockets name several. @param {Socket} socket */
export const isKind = (socket, kind) => String(socket.type).split(",").includes(kind);

/** Tell whether the type of a socket or a link says nothing: switches, lists and loops take and give anything. */
export const isUntold = (type) => UNTOLD.includes(type ?? null);

/** Tell whether a node does nothing. @param {Node} node */
export const isOff = (node) => node.mode === MUTED || node.mode === BYPASSED;

/** Name a wire, for comparing. @param {Wire} wire */
export const wireKey = (wire) => `${wire.origin}.${wire.slot}`;

/** Tell whether a wire starts at the subgraph's own inputs. @param {Wire} wire */
export const fromEntry = (wire) => Number(wire.origin) === ENTRY;

/** Return the link into an input; undefined without one, or when nothing is at its start. */
export function linkInto(graph, socket) {
  const link = socket?.link == null ? undefined : graph.getLink(socket.link);
  const start = link && (fromEntry(wireOf(link)) ? graph.inputs : graph.getNodeById(link.origin_id)?.outputs);
  return start?.[link.origin_slot] ? link : undefined;
}

/** Return where a link starts. @returns {Wire} */
export const wireOf = (link) => ({ origin: link.origin_id, slot: link.origin_slot });

/** Return where the link into an input starts. @returns {Wire|undefined} */
export function wireInto(graph, socket) {
  const link = linkInto(graph, socket);
  return link && wireOf(link);
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
    const node = this.node(graph, wire);
    if (!node || this.muted(node)) return [];
    let sockets;
    if (this.off(node)) sockets = passedOn(node, wire.slot, kind);
    else if (node.type === GET) sockets = setSockets(graph, node);
    else sockets = feeding(graph, node, wire.slot, kind);
    return sockets.map((socket) => wireInto(graph, socket)).filter(Boolean);
  }

  /** Follow a wire to where it really starts within its graph: past nodes that are off or of these types. @returns {Wire} */
  plain(graph, wire, kind, passing = PASSING) {
    const seen = new Set([wireKey(wire)]);
    for (let node; (node = this.node(graph, wire)) && (this.off(node) || passing.includes(node.type)); ) {
      const [further] = this.behind(graph, wire, kind);
      if (!further || seen.has(wireKey(further))) return wire;
      wire = further;
      seen.add(wireKey(wire));
    }
    return wire;
  }

  /** Return what is connected to a subgraph's input, at one of the nodes that stand for it. @returns {Wire|undefined} */
  outside(inner, slot, outer, node) {
    const name = inner.inputs[slot]?.name;
    return wireInto(outer, node.inputs?.find((socket) => socket.name === name));
  }

  /** Return what leads, inside a subgraph, to an output of the node that stands for it. @returns {Wire[]} */
  innerWires(inner, node, slot) {
    const name = node.outputs?.[slot]?.name;
    const ids = inner.outputs.find((socket) => socket.name === name)?.linkIds ?? [];
    return ids.map((id) => wireInto(inner, { link: id })).filter(Boolean);
  }

  /** Return every node a wire of a type comes through, in all graphs. @returns {Node[]} */
  upstream(graph, wire, kind) {
    const found = [];
    const waiting = [[graph, wire]];
    const seen = new Set();
    for (const [within, at] of waiting) {
      const key = `${this.graphs.indexOf(within)} ${wireKey(at)}`;
      if (seen.has(key)) continue;
      seen.add(key);
      if (fromEntry(at)) {
        for (const [outer, place] of this.places(within)) {
          const further = this.outside(within, at.slot, outer, place);
          if (further) waiting.push([outer, further]);
        }
        continue;
      }
      const node = this.node(within, at);
      if (!node) continue;
      found.push(node);
      const inner = this.off(node) ? undefined : node.subgraph;
      if (inner) waiting.push(...this.innerWires(inner, node, at.slot).map((one) => [inner, one]));
      else waiting.push(...this.behind(within, at, kind).map((one) => [within, one]));
    }
    return found;
  }
}

/** Return the input a bypassed node passes on: the one at the same place if it is of that type, or the first. */
function passedOn(node, slot, kind) {
  const sockets = node.inputs ?? [];
  const same = sockets.slice(slot, slot + 1).filter((socket) => isKind(socket, kind));
  return same.length ? same : sockets.filter((socket) => isKind(socket, kind)).slice(0, 1);
}

/** Return the linked inputs an output is made from, positive from positive and negative from negative. */
function feeding(graph, node, slot, kind) {
  const linked = (node.inputs ?? []).filter((socket) => socket.link != null);
  let found = linked.filter((socket) => isKind(socket, kind));
  if (!found.length) found = linked.filter((socket) => isOpen(graph, socket, kind));
  const half = (name) => found.filter((socket) => halfOf(socket) === name);
  return kind === CONDITIONING && PAIR.every((name) => half(name).length) ? half(side(node, slot)) : found;
}

/** Say which of "positive" and "negative" an output belongs to, by its name or else its place. */
function side(node, slot) {
  const byName = halfOf(node.outputs?.[slot]);
  if (byName) return byName;
  const before = (node.outputs ?? []).slice(0, slot).filter((socket) => isKind(socket, CONDITIONING));
  return PAIR[before.length === 1 ? 1 : 0];
}

/** Return "positive" for a name such as "positive_pose" or "positive_A", "negative" likewise; undefined for any other. */
function halfOf(socket) {
  const name = String(socket?.name ?? "").toLowerCase();
  return PAIR.find((half) => name.startsWith(half));
}

/** Tell whether an input that takes any type has a wire of this type, or of an unknown one. */
function isOpen(graph, socket, kind) {
  const link = linkInto(graph, socket);
  return !!link && (link.type === kind || (isUntold(socket.type) && isUntold(link.type)));
}

/** Return the inputs of the Set nodes that a Get node takes its value from, by the name both hold. */
function setSockets(graph, node) {
  const name = heldName(node);
  const setters = graph.nodes.filter((other) => other.type === SET && name !== undefined && heldName(other) === name);
  return setters.flatMap((setter) => (setter.inputs ?? []).slice(0, 1));
}

function heldName(node) {
  const value = node.widgets?.[0]?.value ?? node.widgets_values?.[0];
  return typeof value === "string" ? value : undefined;
}
