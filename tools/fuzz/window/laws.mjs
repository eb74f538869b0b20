// What has to hold for every workflow that the editor opens: the commands end, throw nothing but their own words, leave a
// workflow that they refuse as it was, put steering in once, and take it out without a trace.

import { EditorNode, opened } from "../../../tests/support/browser/editor.mjs";
import { Inserter } from "../../../web/steering/insert.js";
import { plan } from "../../../web/steering/plan.js";
import { sourceKey } from "../../../web/steering/prompts.js";
import { Remover } from "../../../web/steering/remove.js";
import { STEER } from "../../../web/steering/rules.js";
import { asOneStep } from "../../../web/steering/step.js";
import { added, details, removed, stay } from "../../../web/steering/words.js";
import * as entry from "./entry.mjs";
import { Fault, holds } from "./fault.mjs";
import { graphsOf, mend } from "./rewire.mjs";

globalThis.LiteGraph = { vueNodesMode: false };
const LONGEST_LINE = 4000;
const SHARED = [Object, Array, Function, String, Number, Map, Set, RegExp].map((one) => [one.prototype, keysOf(one.prototype)]);

function keysOf(value) {
  return Reflect.ownKeys(value).map(String).join();
}

/** Run the work of one command as the window does; return the words it was refused with, empty where it was not. */
async function commanded(root, before, edit, work) {
  let undone = false;
  const app = {
    canvas: { emitBeforeChange() {}, emitAfterChange() {}, setDirty() {} },
    extensionManager: { command: { execute: async () => (undone = true) } },
  };
  try {
    await asOneStep(app, root, edit, work);
  } catch (error) {
    holds(undone || json(root) === before, "refused, but changed, and not taken back");
    return words(error);
  }
  return "";
}

/** Return what an error says; a fault where it is none of the commands' own. */
function words(error) {
  const isOwn = error.constructor === Error && error.message.trim() && error.message.length < LONGEST_LINE && !/[\n\r]/.test(error.message);
  if (!isOwn) throw Object.assign(new Fault(`not its own error: ${error.constructor.name}: ${error.message}`), { stack: error.stack });
  return error.message;
}

const json = (root) => JSON.stringify(root.written());

/** Judge a workflow; return the verdicts, or the words it was refused with. */
function judged(root) {
  try {
    const verdicts = plan(root);
    holds([added(verdicts), details(verdicts, root)].every((text) => typeof text === "string"), "words that are no text");
    return { verdicts, refused: "" };
  } catch (error) {
    if (error instanceof Fault) throw error;
    return { verdicts: [], refused: words(error) };
  }
}

/** Put steering in; return what was decided, whether anything changed, and the words it was refused with. */
async function add(root, newNodes) {
  const before = json(root);
  const { verdicts, refused } = judged(root);
  holds(json(root) === before, "judging changed the workflow");
  if (refused) return { verdicts, refused, changed: false };
  const told = verdicts.map(written);
  if (!verdicts.some((verdict) => verdict.state === STEER)) return { verdicts: told, refused, changed: false };
  const inserter = new Inserter(root, (type) => new EditorNode(newNodes[type]));
  const said = await commanded(root, before, inserter, () => verdicts.forEach((verdict) => inserter.insert(verdict)));
  holds(said || inserter.changed === (json(root) !== before), "changed, but not said so");
  return { verdicts: told, refused: said, changed: inserter.changed };
}

/** Write a verdict down, as plan.mjs of the tests does. */
const written = ({ graph, node, state, reason, missed, source, walker, places }) => ({
  sampler: node.id,
  state,
  reason,
  missed: missed ?? "",
  source: source ? sourceKey(walker, graph, source) : "",
  places: state === STEER ? (places ?? []).map((place) => `${place.node.id} ${place.slot}`) : [],
});

/** Take steering out; return the words it was refused with. */
async function remove(root) {
  const before = json(root);
  try {
    const remover = new Remover(root);
    if (!remover.needed) {
      holds(json(root) === before, "nothing to remove, but changed");
      return "";
    }
    const said = await commanded(root, before, remover, () => remover.remove());
    holds(typeof `${removed(1, remover.nodes)}${stay(remover.blocks)}` === "string", "words that are no text");
    return said;
  } catch (error) {
    if (error instanceof Fault) throw error;
    return words(error);
  }
}

/**
 * Return what the commands make of a workflow; throws a Fault where a law does not hold.
 * @param {any} data The workflow's JSON. @param {any} newNodes A new node of each of the pack's types.
 * @returns {Promise<{kind: string, [more: string]: any}>} `kind` is "not opened", "refused", "left" or "steered".
 */
export async function tried(data, newNodes) {
  let root, other;
  try {
    [root, other] = [opened(data), opened(data)];
    json(root);
  } catch {
    return { kind: "not opened" };
  }
  const [sound, isNew] = [isSound(data), newIn(root.saved())];
  const opening = json(other);
  const removedFirst = await remove(other);
  const { verdicts, changed, refused } = await add(root, newNodes);
  const after = root.saved();
  await entry.commanded(
    data,
    newNodes,
    { refused, changed, after: json(root) },
    { refused: removedFirst, changed: json(other) !== opening, after: json(other) },
  );
  entry.told(data);
  holds(graphsOf(after).every(({ nodes }) => nodes.filter(isNew).every(({ pos }) => pos.every(Number.isFinite))), "a new node is nowhere");
  if (!refused && changed) {
    const again = await add(root, newNodes);
    holds(!again.changed && !again.refused, `steering was put in twice: ${again.refused}`);
  }
  const removedAfter = refused ? refused : await remove(root);
  if (changed && !refused && !removedAfter && !removedFirst && sound) {
    const [found, wanted] = [outline(root.saved()), outline(other.saved())];
    holds(found === wanted, `added and removed, but not as before: ${differing(found, wanted)}`);
  }
  if (!removedFirst) holds(!(await remove(other)), "removed, but refused when asked once more");
  for (const [prototype, keys] of SHARED) holds(keysOf(prototype) === keys, `a shared prototype has other keys: ${keysOf(prototype)}`);
  const kind = refused ? "refused" : changed ? "steered" : "left";
  return { kind, sound, verdicts, changed, refused, after, removed: root.saved(), removedFirst: other.saved() };
}

/** Return a test for nodes that a workflow did not have. */
function newIn(data) {
  const known = new Set(graphsOf(data).flatMap(({ nodes }) => nodes.map(({ id }) => id)));
  return ({ id }) => !known.has(id);
}

/** Tell whether every wire of a workflow is known at both its ends and nowhere else, and every id is there once. */
function isSound(data) {
  const mended = structuredClone(data);
  try {
    mend(mended);
    if (graphsOf(data)[0] !== data) return false;
    const once = graphsOf(data).every(({ nodes }) => new Set(nodes.map(({ id }) => `${id}`)).size === nodes.length);
    return once && wiresOf(data) === wiresOf(mended);
  } catch {
    return false;
  }
}

/** Write down what the sockets of a workflow say of its links. */
function wiresOf(data) {
  const told = ({ link, links, linkIds }) => [link ?? null, [...(links ?? [])].sort(), [...(linkIds ?? [])].sort()];
  const wires = ({ inputs, outputs }) => [inputs, outputs].map((sockets) => (sockets ?? []).map(told));
  return JSON.stringify(graphsOf(data).map((graph) => [graph.nodes.map(wires), graph.links.length, wires(graph)]));
}

/** Describe a workflow but for ids of links and counters: its nodes, sockets, and what every wire connects. */
function outline(data) {
  return JSON.stringify(
    graphsOf(data).map((graph) => ({
      nodes: graph.nodes.map(({ inputs, outputs, order, ...rest }) => [rest, (inputs ?? []).map(plain), (outputs ?? []).map(plain), order]),
      links: graph.links
        .map((link) => (Array.isArray(link) ? link.slice(1, 5) : [link.origin_id, link.origin_slot, link.target_id, link.target_slot]))
        .map((ends) => ends.map((end) => (typeof end === "object" ? JSON.stringify(end) : end)).join())
        .sort(),
      sockets: [graph.inputs, graph.outputs].map((sockets) => (sockets ?? []).map(plain)),
    })),
    null,
    1,
  );
}

/** Return the lines that only one of two texts has. */
function differing(one, other) {
  const lines = [one, other].map((text) => text.split("\n"));
  return lines.map((some, at) => some.filter((line) => !lines[1 - at].includes(line)).join(" ")).join(" | ");
}

const plain = ({ name, type }) => [name, type];

