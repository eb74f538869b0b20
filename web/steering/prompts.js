// Where does a sampler's prompt get its CLIP? The rules are those of safety_steer/workflow/prompts.py.

import { STEERING, SUPPLYING } from "./pack_nodes.js";
import { isKnownAs, isPipe } from "./packs.js";
import { CLIP, CONDITIONING, MAX_DEPTH, NOTES, PASSING, SAME_CLIP, WRITES_MUSIC } from "./rules.js";
import { append, asking, fromEntry, isFed, isKind, isPipedText, isUntold, text, wireInto, wireKey } from "./sockets.js";

/** @typedef {import("./sockets.js").Wire} Wire */
/** @typedef {import("./trace.js").Walker} Walker */
/**
 * One CLIP behind a prompt, seen from the graph it is needed in: a wire of that graph (`clip`), the input of the subgraph
 * that the prompt comes in by (`outside`), or a node whose subgraph alone knows it (`inside`, with its own source).
 * @typedef {{clip: Wire} | {outside: number, member?: string} | {inside: any, source: Source}} Source
 */

/** Nodes that no text is encoded in, whatever their sockets are called in a file. */
const NO_TEXT = [...WRITES_MUSIC, ...NOTES, ...Object.keys(STEERING), ...SUPPLYING];

/** Return where within its graph it was last decided what a CLIP says: two wires from there are one CLIP. @returns {Wire} */
const clipStart = (walker, graph, wire) => walker.plain(graph, wire, CLIP, SAME_CLIP);

/** Name a source, for comparing. @param {Walker} walker @param {Source} source @returns {string} */
export function sourceKey(walker, graph, source) {
  if ("clip" in source) return `clip ${wireKey(clipStart(walker, graph, source.clip))}`;
  if ("outside" in source) return `outside ${source.outside}${source.member ? `.${source.member}` : ""}`;
  return `inside ${source.inside.id} ${sourceKey(walker, source.inside.subgraph, source.source)}`;
}

/**
 * Follow a conditioning back to the nodes that encode text, and find the wires of their CLIP.
 * `known` is what was read within subgraphs on the way: each of their wires is read once, however often it is used.
 * @param {Walker} walker @param {Wire} wire @param {Map<string, any>} [known]
 * @returns {{sources: Source[], ends: string[], hidden: string[], bare: string[]}} `ends` are the types of nodes it starts at that hold no text,
 *   `hidden` of those that give a pipe with it, `bare` of those whose CLIP is not connected.
 */
export function readPrompt(walker, graph, wire, depth = 0, known = new Map()) {
  /** @type {{sources: Source[], ends: string[], hidden: string[], bare: string[]}} */
  const found = { sources: [], ends: [], hidden: [], bare: [] };
  const waiting = [wire];
  const seen = new Set();
  for (const at of waiting) {
    if (seen.has(wireKey(at))) continue;
    seen.add(wireKey(at));
    if (fromEntry(at)) {
      found.sources.push({ outside: at.slot, member: at.member });
      continue;
    }
    const node = walker.node(graph, at);
    if (!node || walker.muted(node)) continue;
    if (!walker.off(node) && node.subgraph && depth < MAX_DEPTH) {
      append(waiting, within(walker, graph, node, at, found, depth, known));
      continue;
    }
    const clips = walker.off(node) || NO_TEXT.includes(node.type) ? [] : clipWires(graph, node, at);
    const further = walker.behind(graph, at, CONDITIONING);
    append(found.sources, clips.map((clip) => ({ clip })));
    append(waiting, further);
    if (clips.length || further.length || (PASSING.includes(node.type) && !isKnownAs(node.type, "get"))) continue;
    const isBare = !walker.off(node) && (node.inputs ?? []).some((socket) => isKind(socket, CLIP) && !isFed(graph, socket));
    if (at.member) found.hidden.push(node.type);
    else (isBare ? found.bare : found.ends).push(node.type);
  }
  const [ends, hidden, bare] = [found.ends, found.hidden, found.bare].map((types) => [...new Set(types)]);
  return { sources: firstOfEach(found.sources, placeOf), ends, hidden, bare };
}

/** Name a source as it was found, for comparing. @param {Source} source @returns {string} */
function placeOf(source) {
  if ("clip" in source) return `clip ${wireKey(source.clip)}`;
  if ("outside" in source) return `outside ${source.outside}.${source.member ?? ""}`;
  return `inside ${source.inside.id} ${placeOf(source.source)}`;
}

/**
 * Return the CLIP wires into a node that makes conditioning, or something untold that becomes it.
 * A loader that encodes a prompt of its own gives the CLIP it does it with.
 * @param {Wire} wire @returns {Wire[]}
 */
function clipWires(graph, node, wire) {
  const { slot, member } = wire;
  const outputs = node.outputs ?? [];
  const becomes = outputs[slot] && (isUntold(outputs[slot].type) || isPipedText(outputs[slot]));
  if (!becomes && !member && !outputs.some((socket) => isKind(socket, CONDITIONING))) return [];
  const fed = (node.inputs ?? []).filter((socket) => isFed(graph, socket));
  const carries = fed.some((socket) => isKind(socket, CONDITIONING) || isPipe(socket));
  if (member && carries) return [];
  if (!carries && !fed.some((socket) => isKind(socket, CLIP))) {
    const place = outputs.findIndex((socket) => isKind(socket, CLIP));
    return place >= 0 ? [{ origin: node.id, slot: place }] : [];
  }
  const clips = fed.filter((socket) => isKind(socket, CLIP));
  return ofPart(clips, outputs[slot]).flatMap((socket) => asking(wireInto(graph, socket)));
}

/** Return, of several CLIPs, the one called after the same part as what is given, such as base or refiner. */
function ofPart(clips, given) {
  const part = (socket) => text(socket.name).split("_")[0];
  const own = given ? clips.filter((socket) => part(socket) === part(given)) : [];
  return own.length ? own : clips;
}

/** Read the prompt inside a subgraph and bring what it found out; return the wires of this graph to go on with. */
function within(walker, graph, node, at, found, depth, known) {
  const inner = node.subgraph;
  const waiting = [];
  const wires = walker.innerWires(inner, node, at.slot).flatMap((wire) => asking(wire, at.member));
  for (const wire of firstOfEach(wires, wireKey)) {
    const place = `${walker.graphs.indexOf(inner)} ${wireKey(wire)}`;
    const prompt = known.get(place) ?? readPrompt(walker, inner, wire, depth + 1, known);
    known.set(place, prompt);
    append(found.ends, prompt.ends);
    append(found.hidden, prompt.hidden);
    append(found.bare, prompt.bare);
    for (const source of prompt.sources) {
      const outer = broughtOut(walker, graph, node, source);
      if ("outside" in source) append(waiting, outer ? [outer] : []);
      else found.sources.push(outer ? { clip: outer } : { inside: node, source });
    }
  }
  return waiting;
}

/** Return the wire of the outer graph that a source inside a subgraph is, if it comes in from there. */
function broughtOut(walker, graph, node, source) {
  const inner = node.subgraph;
  if ("outside" in source) return asking(walker.outside(inner, source.outside, graph, node), source.member)[0];
  if (!("clip" in source)) return undefined;
  const start = walker.plain(inner, source.clip, CLIP);
  return fromEntry(start) && !start.member ? walker.outside(inner, start.slot, graph, node) : undefined;
}

/**
 * Return where a source's CLIP really comes from, several places when the subgraph is used several times. Each way is gone once:
 * ways that cross, or lead back, would else be more than can be counted.
 */
function origins(walker, graph, source) {
  const found = new Set();
  const seen = new Set();
  const waiting = [[graph, source]];
  for (const [at, one] of waiting) {
    const key = `${walker.graphs.indexOf(at)} ${placeOf(one)}`;
    if (seen.has(key)) continue;
    seen.add(key);
    const further = before(walker, at, one);
    if (further) append(waiting, further);
    else found.add(`${walker.graphs.indexOf(at)} ${wireKey(clipStart(walker, at, one.clip))}`);
  }
  return [...found];
}

/**
 * Return where a source's CLIP comes from in the graphs around or within; undefined where it starts in this graph.
 * @returns {any[][]|undefined}
 */
function before(walker, graph, source) {
  if ("inside" in source) return [[source.inside.subgraph, source.source]];
  if ("outside" in source) {
    return usedWith(walker, graph, source).flatMap(([outer, , sources]) => sources.map((one) => [outer, one]));
  }
  const wire = clipStart(walker, graph, source.clip);
  if (fromEntry(wire)) {
    const places = walker.places(graph).map(([outer, node]) => [outer, walker.outside(graph, wire.slot, outer, node)]);
    return places.flatMap(([outer, clip]) => asking(clip, wire.member).map((one) => [outer, { clip: one }]));
  }
  const node = walker.node(graph, wire);
  if (!node?.subgraph || walker.off(node)) return undefined;
  const clips = walker.innerWires(node.subgraph, node, wire.slot).flatMap((clip) => asking(clip, wire.member));
  return clips.map((clip) => [node.subgraph, { clip }]);
}

/**
 * Return, for every node that stands for a subgraph, the sources of CLIP of the conditioning that goes into it.
 * @returns {[any, any, Source[]][]} The outer graph, the node, the sources.
 */
export function usedWith(walker, graph, { outside, member }) {
  return walker.places(graph).map(([outer, node]) => {
    const [wire] = asking(walker.outside(graph, outside, outer, node), member);
    return [outer, node, wire ? distinct(walker, outer, readPrompt(walker, outer, wire).sources) : []];
  });
}

/** Leave out sources that are the same CLIP as one before; a CLIP of the graph itself stands for the others. */
export function distinct(walker, graph, sources) {
  const ordered = [...sources.filter((source) => "clip" in source), ...sources.filter((source) => !("clip" in source))];
  const plain = firstOfEach(ordered, (source) => sourceKey(walker, graph, source));
  if (plain.length < 2) return plain;
  const start = (source) => [...new Set(origins(walker, graph, source))].sort().join();
  return firstOfEach(plain, (source) => start(source) || sourceKey(walker, graph, source));
}

function firstOfEach(items, keyOf) {
  const kept = new Map();
  for (const item of items) {
    const key = keyOf(item);
    if (!kept.has(key)) kept.set(key, item);
  }
  return [...kept.values()];
}
