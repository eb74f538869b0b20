// Put steering into the open workflow: Apply before every sampler, Load and Align where the CLIP of its prompt is.
// What is shared, and how a direction gets in and out of subgraphs, is as in safety_steer/workflow/editor/insert.py.

import { below, findRoom, leftOf } from "./layout.js";
import { ALIGN, ALIGNED, APPLY, DIRECTIONS, DRAWN, LOAD } from "./pack_nodes.js";
import { sourceKey, usedWith } from "./prompts.js";
import { ENTRY, SOCKET, STEER } from "./rules.js";
import { fromEntry, isKind, isOff, linkInto, wireInto, wireKey, wireOf } from "./sockets.js";
import { allGraphs, Walker } from "./trace.js";
import { connect } from "./wires.js";

/** @typedef {import("./sockets.js").Wire} Wire */

/** Puts nodes into the workflow: one Load for each graph, one Align for each CLIP in it, one Apply for each model wire. */
export class Inserter {
  /**
   * @param {any} root The root graph.
   * @param {(type: string) => any} create Makes a node of a type that is in no graph yet; throws when it cannot.
   */
  constructor(root, create) {
    this.create = create;
    this.graphs = allGraphs(root);
    /** Whether the workflow is no longer as it was. */
    this.changed = false;
    /** @type {Map<any, Wire>} */
    this.loads = new Map();
    /** @type {Map<string, Wire>} */
    this.aligned = new Map();
    /** @type {Map<string, any>} */
    this.applied = new Map();
    /** @type {Set<string>} Inputs that Apply leads to, since several samplers can take one pipe. */
    this.done = new Set();
    const walker = new Walker(this.graphs, true);
    for (const graph of this.graphs) for (const node of graph.nodes) this.takeOver(walker, graph, node);
  }

  /** Use the Load and Align nodes that are there already. */
  takeOver(walker, graph, node) {
    if (isOff(node)) return;
    // A file can leave out what a node gives: such a one is of no use.
    if (!node.outputs?.[0] || !DIRECTIONS.some((kind) => isKind(node.outputs[0], kind))) return;
    if (node.type === LOAD && !this.loads.has(graph)) this.loads.set(graph, outputOf(node));
    if (node.type !== ALIGN) return;
    const [clip, direction] = ["clip", "direction"].map((name) => wireInto(graph, node.inputs[slotOf(node, name)]));
    if (!clip || !direction) return;
    const key = this.key(graph, sourceKey(walker, graph, { clip }));
    if (!this.aligned.has(key)) this.aligned.set(key, outputOf(node));
  }

  key(graph, ...parts) {
    return [this.graphs.indexOf(graph), ...parts].join(" ");
  }

  /** Steer one sampler. @param {import("./plan.js").Verdict} verdict */
  insert({ graph, state, source, walker, places }) {
    if (state !== STEER || !source) return;
    for (const { node, slot, wire } of places ?? []) {
      const key = this.key(graph, node.id, slot);
      if (this.done.has(key)) continue;
      this.done.add(key);
      this.apply(graph, node, slot, wire, this.alignedWire(walker, graph, source));
    }
  }

  /** Lead the model of one input over Apply; one Apply serves all inputs of the same model and direction. */
  apply(graph, node, model, wire, direction) {
    const link = linkInto(graph, node.inputs[model]);
    const key = this.key(graph, wireKey(wire), wireKey(direction));
    // A wire over the canvas's own reroute points is kept to them: such a sampler gets a node of its own.
    let apply = link?.parentId == null ? this.applied.get(key) : undefined;
    if (!apply) {
      apply = this.add(graph, APPLY, (added) => leftOf(node, added), node);
      connect(graph, wire, apply, slotOf(apply, "model"), link?.parentId);
      connect(graph, direction, apply, slotOf(apply, "direction"));
      if (!this.applied.has(key)) this.applied.set(key, apply);
    }
    if (!link) (apply.properties[DRAWN] ??= []).push([node.id, model]);
    connect(graph, outputOf(apply), node, model);
  }

  /** Return the wire of the aligned direction for a CLIP in a graph; make what it needs. @returns {Wire} */
  alignedWire(walker, graph, source) {
    const key = this.key(graph, sourceKey(walker, graph, source));
    let wire = this.aligned.get(key);
    if (!wire) {
      if ("outside" in source) wire = this.broughtIn(walker, graph, source);
      else if ("inside" in source) wire = this.broughtOut(walker, source.inside, source.source);
      else wire = this.fitted(graph, source.clip);
      this.aligned.set(key, wire);
    }
    return wire;
  }

  /** Put Align, and Load if the graph has none yet, near the CLIP. @returns {Wire} */
  fitted(graph, clip) {
    let beside = fromEntry(clip) ? undefined : graph.getNodeById(clip.origin);
    let load = this.loads.get(graph);
    if (!load) {
      beside = this.add(graph, LOAD, () => below(graph, beside), beside);
      load = outputOf(beside);
      this.loads.set(graph, load);
    }
    const align = this.add(graph, ALIGN, () => below(graph, beside), beside);
    connect(graph, load, align, slotOf(align, "direction"));
    connect(graph, clip, align, slotOf(align, "clip"));
    return outputOf(align);
  }

  /** Give the subgraph an input for the direction, and feed it everywhere the subgraph is used. @returns {Wire} */
  broughtIn(walker, graph, source) {
    const places = usedWith(walker, graph, source);
    this.changed = true;
    const { name } = graph.addInput(unused(SOCKET, graph.inputs), ALIGNED);
    for (const [outer, node, sources] of places) {
      const wire = this.alignedWire(walker, outer, sources[0]);
      connect(outer, wire, node, slotOf(node, name));
    }
    return { origin: ENTRY, slot: graph.inputs.length - 1 };
  }

  /** Give the subgraph that holds the CLIP an output for the direction. @returns {Wire} */
  broughtOut(walker, node, source) {
    const inner = node.subgraph;
    const wire = this.alignedWire(walker, inner, source);
    let output = inner.outputs.find((socket) => socket.type === ALIGNED && leadsTo(inner, socket, wire));
    if (!output) {
      this.changed = true;
      output = inner.addOutput(unused(SOCKET, inner.outputs), ALIGNED);
      connect(inner, wire, inner.outputNode, inner.outputs.indexOf(output));
    }
    return { origin: node.id, slot: node.outputs.findIndex((socket) => socket.name === output.name) };
  }

  /** Put a new node into a graph, near the wanted place, where it hides nothing. */
  add(graph, type, wanted, beside) {
    const node = this.create(type);
    node.pos = findRoom(graph, wanted(node), node, beside);
    this.changed = true;
    graph.add(node);
    return node;
  }
}

const outputOf = (node) => ({ origin: node.id, slot: 0 });

const slotOf = (node, name) => node.inputs.findIndex((socket) => socket.name === name);

/** Tell whether a wire leads to this output of a subgraph. */
const leadsTo = (graph, output, wire) =>
  output.linkIds.some((id) => {
    const link = graph.getLink(id);
    return link && wireKey(wireOf(link)) === wireKey(wire);
  });

function unused(name, sockets) {
  const taken = sockets.map((socket) => socket.name);
  let found = name;
  for (let number = 2; taken.includes(found); number++) found = `${name}_${number}`;
  return found;
}
