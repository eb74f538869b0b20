// Edits of workflows that keep them workflows: nodes become others, wires lead elsewhere, subgraphs are used again.

import { STEERING, SUPPLYING } from "../../../web/steering/pack_nodes.js";
import { CARRIERS, GIVES, GROUPED, NOTES, PACKS, PIPED_TEXTS } from "../../../web/steering/rules.js";

const [ENTRY, EXIT] = [-10, -20];
const KNOWN = Object.values(PACKS).flat();
const TYPES = ["KSampler", "CLIPTextEncode", "CheckpointLoaderSimple", ...Object.keys(GIVES), ...NOTES, ...Object.keys(STEERING), ...SUPPLYING];
const ODD_TYPES = ["constructor", "toString", "__proto__", "", ...GROUPED.map((start) => `${start}constructor`)];
const KINDS = ["MODEL", "CLIP", "CONDITIONING", "LATENT", "IMAGE", "GUIDER", "*", "STRING", "SAFETY_DIRECTION", "ALIGNED_DIRECTION"];
const NAMES = ["model", "clip", "positive", "negative", "conditioning", "opt_pos", "base_model", "refiner", "direction", "constructor", "__proto__"];

const COUNTS = ["many", "7", {}, [3], { toString: null, valueOf: 1 }, 1.5, -1, 0, 2 ** 52, null];

/** Return the root and the subgraphs of a workflow's JSON, as far as they are graphs. */
export function graphsOf(data) {
  const found = [data];
  for (const graph of found) {
    const inner = graph?.definitions?.subgraphs;
    if (Array.isArray(inner) && found.length < 64) found.push(...inner);
  }
  return found.filter((graph) => Array.isArray(graph?.nodes) && Array.isArray(graph.links) && graph.nodes.every((node) => node));
}

/** Make one edit in a workflow, in place. @param {any} data @param {import("./random.mjs").Random} random */
export function rewire(data, random) {
  const graphs = graphsOf(data);
  const graph = random.pick(graphs);
  const node = random.pick(graph?.nodes ?? []);
  if (!node) return;
  const sockets = lists(node.inputs, node.outputs);
  const kind = random.below(13);
  if (kind === 0) node.type = typeFor(graphs, random);
  else if (kind === 1) node.mode = random.pick([0, 2, 4, 4]);
  else if (kind === 2 && sockets.length) random.pick(sockets).type = kindFor(random);
  else if (kind === 3 && sockets.length) random.pick(sockets).name = random.pick(NAMES);
  else if (kind === 4) doubled(graph, node, random);
  else if (kind === 5) (node.inputs ??= []).push?.({ name: random.pick(NAMES), type: kindFor(random), link: null });
  else if (kind === 6) (node.outputs ??= []).push?.({ name: random.pick(NAMES), type: kindFor(random), links: null });
  else if (kind === 7) noted(graph, node, random);
  else if (kind === 8) graph.nodes.splice(graph.nodes.indexOf(node), 1);
  else if (kind === 9 && random.percent(30)) node.widgets_values = [random.pick(NAMES)];
  else if (kind === 12) miscounted(data, graph, random);
  else linked(graph, node, random);
}

/** Let a file count its nodes or links wrongly, or by no number, or give such an id to a link. */
function miscounted(data, graph, random) {
  const kind = random.below(3);
  if (kind === 0) data[random.pick(["last_node_id", "last_link_id"])] = random.pick(COUNTS);
  else if (kind === 1) graph.state = { ...graph.state, [random.pick(["lastNodeId", "lastLinkId"])]: random.pick(COUNTS) };
  else {
    const link = random.pick(graph.links);
    if (link) link[Array.isArray(link) ? 0 : "id"] = random.pick(COUNTS);
  }
}

const lists = (...found) => found.flatMap((one) => (Array.isArray(one) ? one : [])).filter((one) => one && typeof one === "object");

function typeFor(graphs, random) {
  const subgraphs = graphs.slice(1).map((graph) => graph.id);
  return random.pick(random.pick([TYPES, KNOWN, ODD_TYPES, subgraphs.length ? subgraphs : TYPES]));
}

const kindFor = (random) => random.pick(random.percent(70) ? KINDS : [...CARRIERS, ...PIPED_TEXTS, "MODEL,CLIP", null, 0]);

/** Put a second node of the same kind beside one, with the same wires going in. */
function doubled(graph, node, random) {
  const made = JSON.parse(JSON.stringify(node));
  made.id = random.percent(90) ? 1 + Math.max(0, ...graph.nodes.map((one) => Number(one.id) || 0)) : node.id;
  graph.nodes.push(made);
  for (const link of graph.links.filter((one) => end(one, "target_id", 3) === node.id)) {
    draw(graph, end(link, "origin_id", 1), end(link, "origin_slot", 2), made.id, end(link, "target_slot", 4));
  }
}

/** Note a wire of Use Everywhere between two nodes. */
function noted(graph, node, random) {
  if (typeof graph.extra !== "object" || graph.extra === null) graph.extra = {};
  const note = { downstream: node.id, downstream_slot: random.below(4), upstream: random.pick(graph.nodes).id, upstream_slot: random.below(3) };
  if (Array.isArray(graph.extra.ue_links)) graph.extra.ue_links.push(note);
  else graph.extra.ue_links = [note];
}

/** Lead a wire from some output of the graph into some input of a node, or out of the subgraph. */
function linked(graph, node, random) {
  const start = random.pick(graph.nodes);
  const isEntry = Array.isArray(graph.inputs) && graph.inputs.length && random.percent(30);
  const isExit = Array.isArray(graph.outputs) && graph.outputs.length && random.percent(20);
  const slot = random.below(isEntry ? graph.inputs.length : Math.max(1, start.outputs?.length ?? 1));
  const target = random.below(isExit ? graph.outputs.length : Math.max(1, node.inputs?.length ?? 1));
  draw(graph, isEntry ? ENTRY : start.id, slot, isExit ? EXIT : node.id, target);
}

const end = (link, name, place) => (Array.isArray(link) ? link[place] : link?.[name]);

function draw(graph, origin, slot, target, targetSlot) {
  const id = 1 + Math.max(0, ...graph.links.map((link) => Number(end(link, "id", 0)) || 0));
  const values = [id, origin, slot, target, targetSlot, "*"];
  const names = ["id", "origin_id", "origin_slot", "target_id", "target_slot", "type"];
  const old = graph.links.findIndex((link) => end(link, "target_id", 3) === target && end(link, "target_slot", 4) === targetSlot);
  if (old >= 0) graph.links.splice(old, 1);
  graph.links.push(Array.isArray(graph.links[0]) ? values : Object.fromEntries(names.map((name, at) => [name, values[at]])));
}

/** Let every socket of a workflow list the links that the workflow has, and drop links without a socket at both ends. */
export function mend(data) {
  for (const graph of graphsOf(data)) {
    const nodes = new Map(graph.nodes.map((node) => [node.id, node]));
    const within = graph !== data;
    for (const socket of lists(...graph.nodes.map((node) => node.inputs))) socket.link = null;
    for (const socket of lists(...graph.nodes.map((node) => node.outputs))) socket.links = null;
    for (const socket of within ? lists(graph.inputs, graph.outputs) : []) socket.linkIds = [];
    const taken = new Set();
    graph.links = graph.links.filter((link) => {
      const [id, origin, slot, target, targetSlot] = ["id", "origin_id", "origin_slot", "target_id", "target_slot"].map((name, at) => end(link, name, at));
      const start = (within && origin === ENTRY ? graph.inputs : nodes.get(origin)?.outputs)?.[Number(slot)];
      const stop = (within && target === EXIT ? graph.outputs : nodes.get(target)?.inputs)?.[Number(targetSlot)];
      const key = `${target} ${targetSlot}`;
      if (![id, slot, targetSlot].every(Number.isInteger) || !start || !stop || taken.has(key) || taken.has(id)) return false;
      taken.add(key).add(id);
      if (origin === ENTRY) (start.linkIds ??= []).push(id);
      else (start.links ??= []).push(id);
      if (target === EXIT) (stop.linkIds ??= []).push(id);
      else stop.link = id;
      return true;
    });
  }
}
