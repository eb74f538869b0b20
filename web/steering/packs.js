// Nodes of other packs, by the table that safety_steer/workflow/packs.json is written from: what a kind of node is called.
// The rules are those of safety_steer/workflow/packs.py.

import { CARRIERS, PACKS } from "./rules.js";
import { isKind, text } from "./sockets.js";

const escaped = (name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll("\\*", ".*");
const PATTERNS = Object.fromEntries(
  Object.entries(PACKS).map(([kind, names]) => [kind, new RegExp(`^(?:${names.map(escaped).join("|")})$`, "s")]),
);

/** Tell whether the table names a type of node under one of these kinds. @param {string} type @param {...string} kinds */
export const isKnownAs = (type, ...kinds) => kinds.some((kind) => PATTERNS[kind]?.test(text(type)));

const SHORT = new Map([
  ["pos", "positive"],
  ["neg", "negative"],
]);

/** Return what a socket's name means in a pipe: "positive" for "pos" and "optional_positive". @param {unknown} name */
export function member(name) {
  let short = text(name).toLowerCase();
  for (const start of ["optional_", "opt_", "base_"]) if (short.startsWith(start)) short = short.slice(start.length);
  short = short.replaceAll("conditioning+", "positive").replaceAll("conditioning-", "negative");
  return SHORT.get(short) ?? short;
}

/** Tell whether a socket takes or gives a pipe or a context, which carries a model and a prompt. */
export const isPipe = (socket) => CARRIERS.some((kind) => isKind(socket, kind));
