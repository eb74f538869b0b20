// What an output of a node is made from: which of the node's inputs can become it.
// The rules are those of safety_steer/workflow/trace.py.

import { isKnownAs, isPipe, member } from "./packs.js";
import { CONDITIONING, MEMBERS, PAIR } from "./rules.js";
import { append, fromEntry, isFed, isKind, isPipedText, isUntold, linkInto, text, wireInto } from "./sockets.js";

/** @typedef {import("./sockets.js").Wire} Wire */
/** @typedef {import("./sockets.js").Socket} Socket */

/** Return the input a bypassed node passes on: the one at the same place if it is of that type, or the first. */
export function passedOn(node, slot, kind) {
  const sockets = node.inputs ?? [];
  const same = sockets.slice(slot, slot + 1).filter((socket) => isKind(socket, kind));
  return same.length ? same : sockets.filter((socket) => isKind(socket, kind)).slice(0, 1);
}

/**
 * Return the linked inputs an output is made from, and what is asked of each that is a pipe.
 * Positive is made from positive and negative from negative; what leaves a pipe from the input of its name, or from a pipe.
 * @returns {[Socket, string|undefined][]}
 */
export function feeding(graph, node, wire, kind) {
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

/**
 * Return the pipes that a node gives: of a switch the first, of a merge the last one that has what is asked of it, and never a
 * refiner's beside another.
 */
function pipesGiven(graph, node, pipes, asked) {
  const base = pipes.filter((socket) => !text(socket.name).includes("refiner"));
  const given = base.length ? base : pipes;
  if (!isKnownAs(node.type, "last")) return given.slice(0, isKnownAs(node.type, "first") ? 1 : undefined);
  const having = given.filter((socket) => has(graph, wireInto(graph, socket), asked));
  return (having.length ? having : given).slice(-1);
}

/** Tell whether a pipe has a value of a name: put in by a node, or, where no pipe comes into the node, made there. */
function has(graph, wire, asked) {
  const waiting = [wire];
  const seen = new Set();
  for (const at of waiting) {
    if (!at) continue;
    const node = fromEntry(at) ? undefined : graph.getNodeById(at.origin);
    if (!node) return true;
    if (seen.has(node)) continue;
    seen.add(node);
    const linked = (node.inputs ?? []).filter((socket) => isFed(graph, socket));
    const pipes = linked.filter(isPipe);
    if (linked.some((socket) => member(socket.name) === asked) || !(pipes.length || isKnownAs(node.type, "pipe"))) return true;
    append(waiting, pipes.map((socket) => wireInto(graph, socket)));
  }
  return false;
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
export function passesOn(graph, node, slot, kind) {
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
  const name = text(socket?.name).toLowerCase();
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
