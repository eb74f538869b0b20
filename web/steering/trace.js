// Walking a workflow's wires backwards: through reroutes, switches, bypassed nodes and the edges of subgraphs.
// The rules are those of `safety-steer add` (safety_steer/workflow/trace.py); a test compares the two on every template.

import { isKnownAs, isPipe, member } from "./packs.js";
import { BYPASSED, CONDITIONING, ENTRY, MAX_PIPES, MEMBERS, MUTED, PAIR, PASSING, PIPED_TEXTS, UNTOLD } from "./rules.js";

/**
 * An output that links start at, within one graph; where it is a pipe, `member` says what is asked of it.
 * @typedef {{origin: number|string, slot: number, member?: string}} Wire
 */
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
export const wireKey = (wire) => `${wire.origin}.${wire.slot}${wire.member ? `.${wire.member}` : ""}`;

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
  return link ? wireOf(link) : broadcastInto(graph, socket);
}

/** Tell whether a wire is drawn or broadcast into an input; a drawn one may still be broken. */
export const isFed = (graph, socket) => socket.link != null || !!broadcastInto(graph, socket);

/** Return where a wire of Use Everywhere starts, as the pack notes it under `extra.ue_links`. @returns {Wire|undefined} */
function broadcastInto(graph, socket) {
  if (!socket || linkInto(graph, socket)) return undefined;
  const notes = graph.extra?.ue_links;
  const byName = (id) => graph.nodes.find((node) => String(node.id) === String(id));
  for (const note of Array.isArray(notes) ? notes : []) {
    if (byName(note?.downstream)?.inputs?.[note.downstream_slot] !== socket) continue;
    const start = byName(note.upstream);
    if (start?.outputs?.[note.upstream_slot]) return { origin: start.id, slot: note.upstream_slot };
  }
  return undefined;
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
    const node = this.node(graph, wire);
    if (!node || this.muted(node)) return [];
    /** @type {[Socket, string|undefined][]} */
    let found;
    if (this.off(node)) {
      const carried = wire.member && node.outputs?.[wire.slot] ? node.outputs[wire.slot].type : kind;
      found = passedOn(node, wire.slot, String(carried)).map((socket) => [socket, wire.member]);
    } else if (isKnownAs(node.type, "get")) {
      const name = heldName(node);
      found = setSockets(graph, name).map((socket) => [socket, wire.member]);
      if (!found.length && name !== undefined && this.isSetAround(graph, node, name)) return asking(borrow(graph, name), wire.member);
    } else found = feeding(graph, node, wire, kind);
    return found.flatMap(([socket, asked]) => asking(wireInto(graph, socket), asked));
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
    return outer.some((one) => setSockets(one, name).length > 0 || this.isSetAround(one, node, name));
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

  /** Return every node a wire of a type comes through, each with its graph. @returns {[Graph, Node][]} */
  passed(graph, wire, kind) {
    /** @type {[Graph, Node][]} */
    const found = [];
    const waiting = [[graph, wire]];
    const seen = new Set();
    for (const [within, at] of waiting) {
      const key = `${this.graphs.indexOf(within)} ${wireKey(at)}`;
      if (seen.has(key)) continue;
      seen.add(key);
      if (fromEntry(at)) {
        for (const [outer, place] of this.places(within)) {
          waiting.push(...asking(this.outside(within, at.slot, outer, place), at.member).map((one) => [outer, one]));
        }
        continue;
      }
      const node = this.node(within, at);
      if (!node) continue;
      found.push([within, node]);
      const inner = this.off(node) ? undefined : node.subgraph;
      if (inner) waiting.push(...this.innerWires(inner, node, at.slot).flatMap((one) => asking(one, at.member)).map((one) => [inner, one]));
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

/** Return a wire of which something is asked, in a list; an empty one without a wire. @returns {Wire[]} */
export const asking = (wire, asked) => (wire ? [asked ? { ...wire, member: asked } : { origin: wire.origin, slot: wire.slot }] : []);

/**
 * Return the linked inputs an output is made from, and what is asked of each that is a pipe.
 * Positive is made from positive and negative from negative; what leaves a pipe from the input of its name, or from a pipe.
 * @returns {[Socket, string|undefined][]}
 */
function feeding(graph, node, wire, kind) {
  const linked = (node.inputs ?? []).filter((socket) => isFed(graph, socket));
  const pipes = pipesGiven(graph, node, linked.filter(isPipe), wire.member ?? askedBy(node, wire.slot, kind));
  const own = linked.filter((socket) => isKind(socket, kind));
  const texts = kind === CONDITIONING && !own.length && !wire.member ? linked.filter(isPipedText) : [];
  const found = own.length ? own : texts;
  if (wire.member) {
    const named = found.filter((socket) => member(socket.name) === wire.member);
    if (named.length || !pipes.length) {
      const open = found.length ? [] : linked.filter((socket) => isUntold(socket.type));
      const other = Object.values(MEMBERS).includes(wire.member) ? found.slice(0, 1) : [];
      const taken = named.length ? named : other;
      return [...taken.map((socket) => [socket, undefined]), ...open.map((socket) => [socket, wire.member])];
    }
  } else if (found.length || !pipes.length) {
    const sockets = found.length ? found : openInputs(graph, node, wire, kind);
    return ofSide(node, wire.slot, kind, sockets).map((socket) => [socket, undefined]);
  }
  return pipes.map((socket) => [socket, wire.member ?? askedBy(node, wire.slot, kind)]);
}

/** Tell whether a socket carries a text and its CLIP, which become conditioning in another node. */
export const isPipedText = (socket) => PIPED_TEXTS.some((kind) => isKind(socket, kind));

/**
 * Return the pipes that a node gives: of a switch the first, of a merge the last one that has what is asked of it, and never a
 * refiner's beside another.
 */
function pipesGiven(graph, node, pipes, asked) {
  const base = pipes.filter((socket) => !String(socket.name).includes("refiner"));
  const given = base.length ? base : pipes;
  if (!isKnownAs(node.type, "last")) return given.slice(0, isKnownAs(node.type, "first") ? 1 : undefined);
  const having = given.filter((socket) => has(graph, wireInto(graph, socket), asked));
  return (having.length ? having : given).slice(-1);
}

/** Tell whether a pipe has a value of a name: put in by a node, or, where no pipe comes into the node, made there. */
function has(graph, wire, asked, depth = 0) {
  const node = wire && !fromEntry(wire) ? graph.getNodeById(wire.origin) : undefined;
  if (!node || depth > MAX_PIPES) return !!wire;
  const linked = (node.inputs ?? []).filter((socket) => isFed(graph, socket));
  if (linked.some((socket) => member(socket.name) === asked)) return true;
  const pipes = linked.filter(isPipe);
  if (!pipes.length) return !isKnownAs(node.type, "pipe");
  return pipes.some((socket) => has(graph, wireInto(graph, socket), asked, depth + 1));
}

/** Return the inputs of any type that can become an output of a type; of a node that passes on each by name, that one. */
function openInputs(graph, node, wire, kind) {
  const found = (node.inputs ?? []).filter((socket) => isFed(graph, socket) && isOpen(graph, socket, kind));
  if (isKnownAs(node.type, "passthrough")) return found.filter((socket) => socket.name === node.outputs?.[wire.slot]?.name);
  return isKnownAs(node.type, "first") ? found.slice(0, 1) : found;
}

function ofSide(node, slot, kind, found) {
  const half = (name) => found.filter((socket) => halfOf(socket) === name);
  return kind === CONDITIONING && PAIR.every((name) => half(name).length) ? half(side(node, slot)) : found;
}

/** Tell whether a node gives what is in a pipe that comes into it, or one of the inputs that it passes on. */
function passesOn(graph, node, slot, kind) {
  const output = node.outputs?.[slot];
  if (!output || !(isKind(output, kind) || isUntold(output.type))) return false;
  if (isKnownAs(node.type, "passthrough", "first")) return true;
  const linked = (node.inputs ?? []).filter((socket) => isFed(graph, socket));
  return linked.some(isPipe) && !linked.some((socket) => isKind(socket, kind));
}

/** Return what an output asks of a pipe: what it is called, or else what its type is for. */
function askedBy(node, slot, kind) {
  const name = member(node.outputs?.[slot]?.name);
  return name && name !== kind.toLowerCase() ? name : (MEMBERS[kind] ?? kind.toLowerCase());
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
  const wire = wireInto(graph, socket);
  if (!wire) return false;
  const told = link && !isUntold(link.type) ? link.type : typeAt(graph, wire);
  return told === kind || ((!link || isUntold(socket.type)) && isUntold(told));
}

/** Return the type of the output that a wire starts at. */
const typeAt = (graph, wire) => (fromEntry(wire) ? graph.inputs : graph.getNodeById(wire.origin)?.outputs)?.[wire.slot]?.type;

/** Return the inputs of the Set nodes that keep something under a name. */
function setSockets(graph, name) {
  const setters = graph.nodes.filter((other) => isKnownAs(other.type, "set") && name !== undefined && heldName(other) === name);
  return setters.flatMap((setter) => (setter.inputs ?? []).slice(0, 1));
}

function heldName(node) {
  const value = node.widgets?.[0]?.value ?? node.widgets_values?.[0];
  return typeof value === "string" ? value : undefined;
}
