// What is to be done with every sampler of a workflow: steer it with the CLIP of its prompt, or leave it, and why.
// The rules are those of safety_steer/workflow/plan.py, samplers.py and messages.py.

import { APPLY, ON_CONDITIONING, ON_WAN_WRAPPER } from "./pack_nodes.js";
import { isKnownAs, isPipe } from "./packs.js";
import { distinct, readPrompt, usedWith } from "./prompts.js";
import { groupNodes, missed, nothingConnected, promptInputs, supply, WAN_TEXT, whyForeign } from "./reach.js";
import { CONDITIONING, GUIDER, LEFT, STEER, STEERED, TEXTS } from "./rules.js";
import { findSamplers } from "./samplers.js";
import { isFed, isKind, isOff, text, wireInto } from "./sockets.js";
import { allGraphs, Walker } from "./trace.js";
import { filled, nameOf } from "./words.js";

/** @typedef {import("./reach.js").Place} Place */
/**
 * One sampler and what becomes of it; `source`, `walker` and `places`, where Apply goes, for STEER alone; `off` for steering
 * that is switched off; `missed` says which prompts it reads that are not steered.
 * @typedef {{graph: any, node: any, state: string, reason: string, missed?: string, off?: boolean, source?: any, walker?: Walker,
 *   places?: Place[]}} Verdict
 */

/** Judge everything that samples in a workflow, or may. @param {any} root The root graph. @returns {Verdict[]} */
export function plan(root) {
  const graphs = allGraphs(root);
  const found = findSamplers(graphs).map((sampler) => ({ ...sampler, ...judge(graphs, sampler) }));
  const groups = groupNodes(graphs, found.map((one) => one.node)).map((one) => ({ ...one, state: LEFT }));
  return [...found.map((verdict) => through(graphs, verdict, found)), ...groups];
}

function judge(graphs, sampler) {
  const { graph, node, models: slots } = sampler;
  if ((sampler.positive < 0 && sampler.pipe < 0) || isForeign(sampler)) return judgeForeign(graphs, sampler);
  const into = (slot) => (slot >= 0 ? wireInto(graph, node.inputs[slot]) : undefined);
  const fed = slots.map((slot) => ({ node, slot, wire: into(slot) })).filter(({ wire }) => wire);
  const pipe = into(sampler.pipe);
  if (!fed.length && !pipe) return { state: LEFT, reason: nothingConnected(graph, node.inputs[slots[0] ?? sampler.pipe]) };
  const models = fed.length ? fed.map(({ wire }) => wire) : [{ ...pipe, member: "model" }];
  const applied = models.map((wire) => steering(graphs, graph, wire, "MODEL", APPLY));
  const positive = into(sampler.positive) ?? (pipe && { ...pipe, member: "positive" });
  const past = positive ? missed(graphs, sampler, models[0], positive) : "";
  if (applied.every((nodes) => nodes.length)) {
    const off = applied.flat().find(isOff);
    return { state: STEERED, off: !!off, reason: off ? switchedOff(off) : within(applied[0]), missed: past };
  }
  if (!positive) return { state: LEFT, reason: nothingConnected(graph, node.inputs[Math.max(sampler.positive, 0)]) };
  const before = steering(graphs, graph, positive, CONDITIONING, ON_CONDITIONING);
  if (before.length && !before.some(isOff)) return { state: STEERED, reason: within(before), missed: past };
  let places = fed.filter((_, at) => !applied[at].length);
  if (!fed.length) {
    const place = supply(new Walker(graphs, false), sampler, models[0]);
    if (typeof place === "string") return { state: LEFT, reason: filled(TEXTS.in_pipe, { node: place }) };
    places = [place];
  }
  const judged = judgePrompt(graphs, graph, positive);
  return judged.state === STEER ? { ...judged, places, missed: past } : judged;
}

/** Steer a sampler whose prompt has one CLIP; say why not for any other. */
function judgePrompt(graphs, graph, positive) {
  let reason = "";
  for (const live of [true, false]) {
    const walker = new Walker(graphs, live);
    const prompt = readPrompt(walker, graph, positive);
    const sources = distinct(walker, graph, prompt.sources);
    reason = obstacle(walker, graph, sources, prompt);
    if (!reason) return { state: STEER, reason, source: sources[0], walker };
  }
  return { state: LEFT, reason };
}

const isForeign = ({ node, models, pipe }) =>
  isKnownAs(node.type, "own loop", "own model", "other prompt", "hidden") || (!models.length && pipe < 0);

/** Judge a sampler that a steered model does not reach: its prompts may be steered by hand. */
function judgeForeign(graphs, sampler) {
  const { graph, node } = sampler;
  const inputs = node.inputs ?? [];
  const texts = [...inputs.keys()].filter((slot) => isKind(inputs[slot], WAN_TEXT));
  const [kind, type] = texts.length ? [WAN_TEXT, ON_WAN_WRAPPER] : [CONDITIONING, ON_CONDITIONING];
  const wires = (texts.length ? texts : promptInputs(sampler)).map((slot) => wireInto(graph, inputs[slot])).filter(Boolean);
  const found = wires.map((wire) => steering(graphs, graph, wire, kind, type));
  if (found.length && found.every((nodes) => nodes.length && !nodes.some(isOff))) return { state: STEERED, reason: within(found[0]) };
  return { state: LEFT, reason: whyForeign(sampler) };
}

/** Let a sampler be steered by the Apply that goes before another, where it takes that one's model on. */
function through(graphs, verdict, found) {
  const { graph, node, models, state } = verdict;
  if (isGuided(verdict)) return takenOver(graphs, verdict, found, GUIDER);
  if (state === STEERED || isForeign(verdict) || !models.length) return verdict;
  if (isChained(verdict)) return takenOver(graphs, verdict, found.filter((one) => !isChained(one)), "LATENT");
  const gives = (one) => one !== node && (one.outputs ?? []).some((socket) => isKind(socket, "MODEL") || isPipe(socket));
  const others = found.filter((other) => other.state === STEER && other !== verdict);
  const places = others.flatMap((other) => (other.places ?? []).filter((place) => gives(place.node)));
  const wires = models.map((slot) => wireInto(graph, node.inputs[slot])).filter(Boolean);
  const givers = wires.map((wire) => giverOf(new Walker(graphs, false), verdict, wire, places));
  if (!givers.length || !givers.every(Boolean)) return verdict;
  return { ...verdict, state: STEER, reason: withNode(givers[0]), source: undefined, walker: undefined, places: [] };
}

/**
 * Return the node that an Apply goes before and a sampler's model comes through, by the very input the Apply leads to; none
 * where its own model comes through the sampler, since nothing in a circle would be steered.
 * @param {Walker} walker @param {Verdict} verdict @param {import("./sockets.js").Wire} wire @param {Place[]} places
 */
function giverOf(walker, { graph, node }, wire, places) {
  const passed = places.length ? walker.passed(graph, wire, "MODEL") : [];
  const isGiver = ([at, one, out]) => {
    const here = places.filter((place) => place.node === one);
    const taken = here.length ? walker.taken(at, out, "MODEL").map(([socket]) => socket) : [];
    const led = here.filter(({ slot }) => one.subgraph || taken.includes(one.inputs[slot]));
    return led.some((place) => !walker.upstream(at, place.wire, "MODEL").includes(node));
  };
  return passed.find(isGiver)?.[1];
}

const withNode = ({ title, type, id }) => filled(TEXTS.through, { node: filled(TEXTS.node, { title: text(title) || type, id }) });

/** Tell whether a sampler takes the model that is kept in the latent it is given. */
const isChained = ({ graph, node, models }) =>
  isKnownAs(node.type, "chain") && !models?.some((slot) => isFed(graph, node.inputs[slot]));

/** Tell whether a sampler takes a guider, which has its model and its prompt, besides a model. */
const isGuided = ({ graph, node, positive }) =>
  positive < 0 && (node.inputs ?? []).some((one) => isKind(one, GUIDER) && isFed(graph, one));

/** Let a sampler be what another is, which it gets a latent or a guider from. */
function takenOver(graphs, verdict, found, kind) {
  const { graph, node } = verdict;
  const wires = node.inputs.filter((one) => isKind(one, kind)).map((one) => wireInto(graph, one));
  const passed = wires.filter(Boolean).flatMap((wire) => new Walker(graphs, false).upstream(graph, wire, kind));
  const giver = passed.map((one) => found.find((other) => other.node === one)).find(Boolean);
  if (!giver || giver.state === LEFT) return verdict;
  return { ...verdict, state: giver.state, reason: withNode(giver.node), missed: giver.missed };
}

/**
 * Return the steering node a wire comes through, and the subgraphs on the way to it, from the inside out; one that is switched
 * on if there is one. Without any the list is empty.
 */
function steering(graphs, graph, wire, kind, type) {
  const passed = new Walker(graphs, false).upstream(graph, wire, kind);
  const found = passed.filter((node) => node.type === type).map((node) => [node, ...around(graphs, passed, node)]);
  return found.find((nodes) => !nodes.some(isOff)) ?? found[0] ?? [];
}

/** Return the nodes that stand for a node's graph and for those around it, among the nodes that a wire comes through. */
function around(graphs, passed, node) {
  const within = graphs.find((graph) => graph.nodes.includes(node));
  const holders = passed.filter((one) => one.subgraph === within);
  const holder = holders.find((one) => !isOff(one)) ?? holders[0];
  return holder ? [holder, ...around(graphs, passed, holder)] : [];
}

/** Say why a prompt's CLIP cannot be used; empty when it can. */
function obstacle(walker, graph, sources, { ends, hidden, bare }) {
  if (!sources.length && hidden.length) return filled(TEXTS.prompt_in_pipe, { nodes: [...new Set(hidden)].join(", ") });
  if (!sources.length && bare.length) return filled(TEXTS.no_clip, { nodes: [...new Set(bare)].join(", ") });
  if (!sources.length) return ends.length && ends.every((end) => isKnownAs(end, "get")) ? TEXTS.get_elsewhere : noText(ends);
  return sources.length > 1 ? severalClips(sources.length) : obstacleWithin(walker, graph, sources[0]);
}

/** Look at every place a subgraph is used in, when its conditioning comes from outside. */
function obstacleWithin(walker, graph, source) {
  if ("inside" in source) return obstacleWithin(walker, source.inside.subgraph, source.source);
  if (!("outside" in source)) return "";
  const places = usedWith(walker, graph, source);
  for (const [outer, , sources] of places) {
    if (!sources.length) return places.length > 1 ? noTextOutside(graph) : noText(endsOutside(walker, graph, source.outside));
    if (sources.length > 1) return severalClips(sources.length);
    const reason = obstacleWithin(walker, outer, sources[0]);
    if (reason) return reason;
  }
  return "";
}

/** Return where the conditioning that comes into a subgraph starts, for the message that it is no text. */
function endsOutside(walker, graph, slot) {
  const nodes = walker.places(graph).flatMap(([outer, node]) => {
    const wire = walker.outside(graph, slot, outer, node);
    return wire ? walker.upstream(outer, wire, CONDITIONING) : [];
  });
  return nodes.slice(-1).map((node) => node.type);
}

const switchedOff = (node) => filled(TEXTS.switched_off, { node: nameOf(node) });

const within = (nodes) => (nodes.length > 1 ? filled(TEXTS.within, { node: nameOf(nodes.at(-1)) }) : "");

const noText = (ends) => filled(ends.length ? TEXTS.not_text : TEXTS.no_prompt, { nodes: [...new Set(ends)].join(", ") });

const noTextOutside = (graph) => filled(TEXTS.no_text_outside, { graph: graph.name });

const severalClips = (count) => filled(TEXTS.several_clips, { count });
