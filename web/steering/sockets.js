// Sockets and wires of the editor: of what type an input is, and where the wire into it starts.
// The rules are those of safety_steer/workflow/graph.py.

import { BYPASSED, ENTRY, MUTED, PIPED_TEXTS, UNTOLD } from "./rules.js";

/**
 * An output that links start at, within one graph; where it is a pipe, `member` says what is asked of it.
 * @typedef {{origin: number|string, slot: number, member?: string}} Wire
 */
/** @typedef {any} Graph  The root graph, or a subgraph's definition, of the editor. */
/** @typedef {any} Node   A node of the editor. */
/** @typedef {any} Socket An input or output of a node. */

/** Return a value of a file where it is a text; an empty one for any other, since files can hold anything. @param {unknown} value */
export const text = (value) => (typeof value === "string" ? value : "");

/** Return a value of a file where it is a list; an empty one for any other. @param {unknown} value @returns {any[]} */
export const list = (value) => (Array.isArray(value) ? value : []);

/** Return an id or a counter of a file as a number; NaN where it is none: a value can have a text of its own that is none. @param {unknown} value */
export const number = (value) => (typeof value === "number" || typeof value === "string" ? Number(value) : NaN);

/** Put items at the end of a list, one by one: what is handed to a function at once, a file can hold too much of. */
export function append(found, items) {
  for (const one of items) found.push(one);
}

/** Tell whether a socket is of a type such as "MODEL"; some sockets name several. @param {Socket} socket */
export const isKind = (socket, kind) => text(socket.type).split(",").includes(kind);

/** Tell whether the type of a socket or a link says nothing: switches, lists and loops take and give anything. */
export const isUntold = (type) => UNTOLD.includes(type ?? null);

/** Tell whether a node does nothing. @param {Node} node */
export const isOff = (node) => node.mode === MUTED || node.mode === BYPASSED;

/** Name a wire, for comparing. @param {Wire} wire */
export const wireKey = (wire) => `${wire.origin}.${wire.slot}${wire.member ? `.${wire.member}` : ""}`;

/** Tell whether a wire starts at the subgraph's own inputs. @param {Wire} wire */
export const fromEntry = (wire) => number(wire.origin) === ENTRY;

/** Return the link into an input; undefined without one, or when nothing is at its start. */
export function linkInto(graph, socket) {
  const link = socket?.link == null ? undefined : graph.getLink(socket.link);
  if (!link || typeof link.origin_id === "object") return undefined;
  const start = fromEntry(wireOf(link)) ? graph.inputs : graph.getNodeById(link.origin_id)?.outputs;
  return socketAt(start, link.origin_slot) ? link : undefined;
}

/** Return the socket at a slot; none where the slot is no number of one, such as "length". */
export const socketAt = (sockets, slot) => (Number.isInteger(slot) ? sockets?.[slot] : undefined);

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
  const byName = (id) => graph.nodes.find((node) => `${node.id}` === (typeof id === "number" ? `${id}` : text(id)));
  for (const note of list(notes)) {
    if (socketAt(byName(note?.downstream)?.inputs, note?.downstream_slot) !== socket) continue;
    const start = byName(note.upstream);
    if (socketAt(start?.outputs, note.upstream_slot)) return { origin: start.id, slot: note.upstream_slot };
  }
  return undefined;
}

/** Return a wire of which something is asked, in a list; an empty one without a wire. @returns {Wire[]} */
export const asking = (wire, asked) => (wire ? [asked ? { ...wire, member: asked } : { origin: wire.origin, slot: wire.slot }] : []);

/** Tell whether a socket carries a text and its CLIP, which become conditioning in another node. */
export const isPipedText = (socket) => PIPED_TEXTS.some((kind) => isKind(socket, kind));
