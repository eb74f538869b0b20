// Take steering out of the open workflow: the wire into a steering node goes on to where the node's own wire led.
// What is taken out, and what stays, is as in safety_steer/workflow/removing.py.

import { blocksOf, isBlock, reportsOnBlock } from "./blocks.js";
import { DIRECTIONS, DRAWN, STEERING, SUPPLYING } from "./pack_nodes.js";
import { EXIT, RECORD } from "./rules.js";
import { fromEntry, isKind, linkInto, list, number, wireOf } from "./sockets.js";
import { allGraphs, Walker } from "./trace.js";
import { connect, linksFrom } from "./wires.js";

/** Takes the pack's steering nodes out of a workflow, and what only served them. */
export class Remover {
  /** @param {any} root The root graph. */
  constructor(root) {
    this.root = root;
    this.walker = new Walker(allGraphs(root), false);
    /** Nodes that stand for blocks: `safety-steer add` makes none, so a user has placed them, and they stay. */
    this.blocks = blocksOf(this.walker.graphs);
    this.open = this.walker.graphs.filter((graph) => graph === root || !isBlock(graph));
    /** How many of the pack's nodes went. */
    this.nodes = 0;
    this.changes = 0;
  }

  /** Whether the workflow is no longer as it was. */
  get changed() {
    return this.changes > 0;
  }

  /** Whether there is anything to take out. */
  get needed() {
    return this.open.some((graph) => steeringIn(graph).length || graph.nodes.some((node) => isUnused(graph, node)));
  }

  /** Take all steering out, one round after the other: what goes in one graph can leave something spare in another. */
  remove() {
    let before;
    do {
      before = this.changes;
      this.open.forEach((graph) => this.removeFrom(graph));
    } while (this.changes > before);
    delete this.root.extra?.[RECORD];
  }

  /** Take steering out of one graph, as far as nothing outside of it needs it. */
  removeFrom(graph) {
    for (const node of steeringIn(graph)) {
      this.reconnectAround(graph, node);
      this.drop(graph, node);
    }
    for (let spare; (spare = graph.nodes.find((node) => isUnused(graph, node))); ) this.drop(graph, spare);
    if (graph !== this.root) this.dropSpareSockets(graph);
  }

  /** Let the wire into a steering node end where the output it passed through led. */
  reconnectAround(graph, node) {
    const [input, output] = STEERING[node.type];
    const incoming = linkInto(graph, node.inputs.find((socket) => socket.name === input));
    if (!incoming) return;
    // An input that no wire was drawn into before add is free again once the node is gone.
    const drawn = [node.properties?.[DRAWN] ?? []].flat();
    const isDrawn = ({ target_id: id, target_slot: slot }) => drawn.some((one) => one?.[0] === id && one?.[1] === slot);
    for (const onward of linksFrom(graph, node, output).filter((one) => !isDrawn(one))) {
      this.lead(graph, wireOf(incoming), onward, incoming.parentId);
    }
  }

  /** Let a wire lead to the end of a link; what would lead straight through a subgraph is led around it. */
  lead(graph, wire, onward, reroute) {
    this.changes++;
    if (number(onward.target_id) !== EXIT) {
      connect(graph, wire, graph.getNodeById(onward.target_id), onward.target_slot, reroute ?? onward.parentId);
    } else if (!fromEntry(wire)) {
      connect(graph, wire, graph.outputNode, onward.target_slot, reroute ?? onward.parentId);
    } else {
      for (const [outer, place] of this.walker.places(graph)) {
        const around = this.walker.outside(graph, wire.slot, outer, place);
        const links = linksFrom(outer, place, slotOf(place, graph.outputs[onward.target_slot]));
        if (around) links.forEach((link) => this.lead(outer, around, link));
      }
    }
  }

  /** Delete a node, and the inputs of the subgraph that led to nothing else. */
  drop(graph, node) {
    const wires = node.inputs.map((socket) => linkInto(graph, socket)).filter(Boolean).map(wireOf);
    const fed = wires.filter(fromEntry).map((wire) => graph.inputs[wire.slot]);
    this.changes++;
    if (node.type !== "Reroute") this.nodes++;
    graph.remove(node);
    this.dropInputs(graph, [...new Set(fed)]);
    for (const [, { properties }] of this.walker.places(graph)) {
      const shown = properties?.proxyWidgets;
      const kept = Array.isArray(shown) && shown.filter((one) => list(one)[0] !== String(node.id));
      if (kept && kept.length < shown.length) properties.proxyWidgets = kept;
    }
  }

  /** Delete the sockets of a subgraph that carry a direction nobody takes. */
  dropSpareSockets(graph) {
    this.dropInputs(graph, graph.inputs.filter(carriesDirection));
    for (const output of graph.outputs.filter(carriesDirection)) {
      const places = this.walker.places(graph);
      if (places.some(([outer, node]) => linksFrom(outer, node, slotOf(node, output)).length)) continue;
      this.changes++;
      graph.removeOutput(output);
    }
  }

  /** Delete those inputs of a subgraph that lead nowhere. */
  dropInputs(graph, inputs) {
    for (const input of inputs.filter((one) => !one.linkIds.length)) {
      this.changes++;
      graph.removeInput(input);
    }
  }
}

/** Return the steering nodes of a graph, but those that tell of a block. */
const steeringIn = (graph) => graph.nodes.filter((node) => Object.hasOwn(STEERING, node.type) && !reportsOnBlock(graph, node));

const slotOf = (node, { name }) => node.outputs.findIndex((socket) => socket.name === name);

const carriesDirection = (socket) => DIRECTIONS.some((kind) => isKind(socket, kind));

/** Tell whether a node only served steering: nothing takes what it gives. */
function isUnused(graph, node) {
  const outputs = node.outputs ?? [];
  if (!SUPPLYING.includes(node.type) && !(node.type === "Reroute" && outputs.some(carriesDirection))) return false;
  return !outputs.some((_, slot) => linksFrom(graph, node, slot).length);
}
