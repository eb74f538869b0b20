// A stand-in for the editor's graphs: a saved workflow opened as the window's scripts ask for it, changed, and saved again.
// It keeps nodes, links, sockets and ids as the editor does, and draws nothing.

import { OWN_NODES } from "../../../web/steering/pack_nodes.js";

const [ENTRY, EXIT] = [-10, -20];
const ROOT = Symbol("the root graph");
const FIELDS = ["id", "origin_id", "origin_slot", "target_id", "target_slot", "type"];

const isId = (value) => typeof value === "number" || typeof value === "string";
const highest = (ids) => ids.filter(isId).map(Number).filter(Number.isFinite).reduce((one, other) => Math.max(one, other), 0);

/** Return the counter to go on from: one that is no number is kept as it is, and then nothing is counted. */
function counter(found, least) {
  const odd = found.find((one) => one != null && !(isId(one) && Number.isFinite(Number(one))));
  return odd === undefined ? highest([...found, ...least]) : odd;
}
const definitions = (data) => (data.definitions?.subgraphs ?? []).flatMap((one) => [one, ...definitions(one)]);

/** Return a link with its fields by name; throws where an end of it is no node's id. */
function asObject(link) {
  const found = Array.isArray(link) ? Object.fromEntries(FIELDS.map((name, at) => [name, link[at]])) : { ...link };
  if (!link || [found.origin_id, found.target_id].some((id) => typeof id === "object")) throw new TypeError("a link that is none");
  return found;
}

const named = (sockets, { name }) => sockets.findIndex((one) => one.name === name);

/** Open a workflow's JSON; return its root graph. */
export function opened(data) {
  const saved = [data, ...definitions(data)];
  const graphs = new Map(saved.map((one) => [one === data ? ROOT : one.id, new Graph(one, one !== data)]));
  const all = [...graphs.values()];
  const counters = saved.map((one) => ({ lastNodeId: one.last_node_id, lastLinkId: one.last_link_id, ...one.state }));
  const last = { node: counter(counters.map((one) => one.lastNodeId), []), link: 0 };
  for (const graph of all) {
    graph.nodes = graph.data.nodes.map((one) => new EditorNode(one, graph, graphs.get(one.type)));
    Object.assign(graph, { last, graphs });
  }
  last.node = counter([last.node], all.flatMap((graph) => graph.nodes.map((node) => node.id)));
  all.forEach((graph) => graph.number());
  last.link = counter(counters.map((one) => one.lastLinkId), all.flatMap((graph) => [...graph.links.keys()]));
  return graphs.get(ROOT);
}

/** Throw where the editor would not open a node: it asks for its type as a text, and for the names of its sockets. */
function openable(node) {
  const { id, type, inputs, outputs } = Object(node) === node ? node : { id: {} };
  if ([id, type].some((one) => one && typeof one === "object")) throw new TypeError("an id or a type that is none");
  const sockets = [inputs ?? [], outputs ?? []].flatMap((some) => some.map((one) => one));
  if (sockets.some((one) => typeof one !== "object" || one === null)) throw new TypeError(`${type} has a socket that is none`);
}

/** A node, in a graph or not yet in one. */
export class EditorNode {
  constructor(saved, graph, subgraph) {
    Object.assign(this, structuredClone(saved), { graph, subgraph });
    openable(saved);
    // What a node's type says, and, as for a node whose type is missing, what it is saved as: neither is saved of itself.
    const category = OWN_NODES.includes(saved.type) ? "safety steer" : "another";
    if (!Object.hasOwn(this, "constructor")) Object.defineProperty(this, "constructor", { value: { category } });
    Object.defineProperty(this, "last_serialization", { value: saved, writable: true, enumerable: false });
    this.inputs ??= [];
    this.outputs ??= [];
    this.pos = Object.values(saved.pos ?? [0, 0]);
    this.size = Object.values(saved.size ?? [0, 0]);
  }

  connect(slot, target, targetSlot, reroute) {
    return this.graph.join(this.id, slot, target.id, targetSlot, this.outputs[slot].type, reroute);
  }

  disconnectInput(slot) {
    this.graph.cut(this.inputs[slot].link);
  }

  /** Return what the editor would save, but not as a copy. */
  written() {
    return Object.fromEntries(Object.entries(this).filter(([name]) => name !== "graph" && name !== "subgraph"));
  }
}

/** The root graph or a subgraph. */
class Graph {
  /** @param {any} data @param {boolean} within Whether it is a subgraph, which alone has inputs and outputs. */
  constructor(data, within) {
    Object.assign(this, { data, within, id: data.id, name: data.name || data.id, extra: structuredClone(data.extra), groups: [] });
    this.links = new Map(data.links.map(asObject).map((link) => [link.id, link]));
    for (const { id, parentId } of data.extra?.linkExtensions ?? []) Object.assign(this.links.get(id) ?? {}, { parentId });
    this.inputs = (within ? (data.inputs ?? []) : []).map((socket) => this.entry(socket));
    this.outputs = (within ? (data.outputs ?? []) : []).map((socket) => this.exit(socket));
    for (const [name, id] of within ? [["inputNode", ENTRY], ["outputNode", EXIT]] : []) {
      const [left, top, width, height] = data[name]?.bounding ?? [0, 0, 0, 0];
      this[name] = { id, pos: [left, top], size: [width, height] };
    }
  }

  getNodeById(id) {
    return this.nodes.find((node) => `${node.id}` === `${id}`);
  }

  /** Return the counters that new ids are counted on from, as the editor shows them. */
  get state() {
    const { last } = this;
    return {
      get lastNodeId() {
        return last.node;
      },
      set lastNodeId(id) {
        last.node = id;
      },
      get lastLinkId() {
        return last.link;
      },
      set lastLinkId(id) {
        last.link = id;
      },
    };
  }

  /** Give new ids to nodes without one, and to those whose id is taken. */
  number() {
    const taken = new Set();
    for (const node of this.nodes) {
      if (node.id == null || taken.has(`${node.id}`)) node.id = ++this.last.node;
      taken.add(`${node.id}`);
    }
  }

  getLink(id) {
    return this.links.get(id);
  }

  add(node) {
    node.id = ++this.last.node;
    node.graph = this;
    this.nodes.push(node);
  }

  remove(node) {
    for (const link of this.linksOf((one) => one.origin_id === node.id || one.target_id === node.id)) this.cut(link.id);
    this.nodes = this.nodes.filter((one) => one !== node);
  }

  linksOf(chosen) {
    return [...this.links.values()].filter(chosen);
  }

  /** Draw a link; what led to its end before goes. */
  join(origin, slot, target, targetSlot, type, reroute) {
    const ended = this.linksOf((one) => one.target_id === target && one.target_slot === targetSlot);
    ended.forEach((one) => this.cut(one.id));
    const link = { id: ++this.last.link, origin_id: origin, origin_slot: slot, target_id: target, target_slot: targetSlot, type };
    if (reroute != null) link.parentId = reroute;
    this.links.set(link.id, link);
    const output = this.getNodeById(origin)?.outputs[Number(slot)];
    if (output) output.links = [...(Array.isArray(output.links) ? output.links : []), link.id];
    const input = this.getNodeById(target)?.inputs[Number(targetSlot)];
    if (input) input.link = link.id;
    return link;
  }

  cut(id) {
    const link = this.links.get(id);
    if (!link) return;
    this.links.delete(id);
    const output = this.getNodeById(link.origin_id)?.outputs[Number(link.origin_slot)];
    if (Array.isArray(output?.links)) output.links = output.links.filter((one) => one !== id);
    const input = this.getNodeById(link.target_id)?.inputs[Number(link.target_slot)];
    if (input) input.link = null;
  }

  /** Make an input of the subgraph, with the links that start there. */
  entry(socket) {
    const here = (link) => link.origin_id === ENTRY && link.origin_slot === this.inputs.indexOf(made);
    const made = this.socket(socket, here, (input, node, reroute) =>
      this.join(ENTRY, this.inputs.indexOf(made), node.id, node.inputs.indexOf(input), made.type, reroute),
    );
    return made;
  }

  /** Make an output of the subgraph, with the links that end there. */
  exit(socket) {
    const here = (link) => link.target_id === EXIT && link.target_slot === this.outputs.indexOf(made);
    const made = this.socket(socket, here, (output, node, reroute) =>
      this.join(node.id, node.outputs.indexOf(output), EXIT, this.outputs.indexOf(made), made.type, reroute),
    );
    return made;
  }

  socket(saved, here, connect) {
    const made = { ...saved };
    Object.defineProperty(made, "linkIds", { enumerable: true, get: () => this.linksOf(here).map((link) => link.id) });
    return Object.defineProperty(made, "connect", { value: connect });
  }

  /** Put the nodes in the order they run in: nothing here goes by it. */
  updateExecutionOrder() {}

  places() {
    return [...this.graphs.values()].flatMap((graph) => graph.nodes.filter((node) => node.subgraph === this));
  }

  addInput(name, type) {
    this.inputs.push(this.entry({ name, type }));
    for (const node of this.places()) node.inputs.push({ name, type, link: null });
    return this.inputs.at(-1);
  }

  addOutput(name, type) {
    this.outputs.push(this.exit({ name, type }));
    for (const node of this.places()) node.outputs.push({ name, type, links: null });
    return this.outputs.at(-1);
  }

  removeInput(socket) {
    const slot = this.inputs.indexOf(socket);
    this.close(ENTRY, "origin", slot);
    this.inputs.splice(slot, 1);
    for (const node of this.places()) {
      const place = named(node.inputs, socket);
      node.graph.close(node.id, "target", place);
      node.inputs.splice(place, 1);
    }
  }

  removeOutput(socket) {
    const slot = this.outputs.indexOf(socket);
    this.close(EXIT, "target", slot);
    this.outputs.splice(slot, 1);
    for (const node of this.places()) {
      const place = named(node.outputs, socket);
      node.graph.close(node.id, "origin", place);
      node.outputs.splice(place, 1);
    }
  }

  /** Cut the links at a socket that goes, and let those at later sockets move up. */
  close(id, end, slot) {
    const at = this.linksOf((link) => link[`${end}_id`] === id);
    at.filter((link) => link[`${end}_slot`] === slot).forEach((link) => this.cut(link.id));
    at.filter((link) => link[`${end}_slot`] > slot).forEach((link) => link[`${end}_slot`]--);
  }

  /** Return the JSON that the editor would save. */
  saved() {
    return JSON.parse(JSON.stringify(this.written()));
  }

  /** Return what the editor would save, but not as a copy. */
  written() {
    const { data, last } = this;
    const lists = data.links.some(Array.isArray) || (!data.links.length && !data.state);
    const links = [...this.links.values()].map((link) => (lists ? FIELDS.map((name) => link[name]) : link));
    const made = { ...data, nodes: this.nodes.map((node) => node.written()), links, extra: this.extra };
    if (data.last_node_id != null) Object.assign(made, { last_node_id: last.node, last_link_id: last.link });
    if (data.state) made.state = { ...data.state, lastNodeId: last.node, lastLinkId: last.link };
    if (this.within) Object.assign(made, { inputs: this.inputs, outputs: this.outputs });
    if (data.definitions) {
      const subgraphs = (data.definitions.subgraphs ?? []).map((one) => this.graphs.get(one.id).written());
      made.definitions = { ...data.definitions, subgraphs };
    }
    return made;
  }
}
