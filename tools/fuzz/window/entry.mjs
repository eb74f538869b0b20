// What has to hold for the script that ComfyUI's page loads: a command says in one message what the scripts behind it did, and
// does no more; and what the nodes say comes back after a run, of the pack's own nodes alone, in the workflow it was said in.

import { register } from "node:module";

import { EditorNode, opened } from "../../../tests/support/browser/editor.mjs";
import { OWN_NODES } from "../../../web/steering/pack_nodes.js";
import { app } from "./app.mjs";
import { holds } from "./fault.mjs";

register("./hooks.mjs", import.meta.url);
await import("../../../web/safety_steer.js");

const ENDS = ["execution_success", "execution_error", "execution_interrupted"];
const ODD_IDS = ["", ":", "1:", ":1", "1:2:3", "__proto__", "constructor", "1e3", "9".repeat(400), "1:".repeat(5000), 1, -10, null, undefined];
const MOST_PLACES = 60;
const DEEPEST = 4;

const [extension] = app.extensions;
extension.setup();

/** Give a command in a workflow that is opened for it; return its message, and the workflow after it as a text. */
async function given(id, data, newNodes) {
  const root = opened(data);
  const before = JSON.stringify(root.written());
  Object.assign(app, { rootGraph: root, toasts: [], undone: false });
  Object.assign(globalThis.LiteGraph, { createNode: (type) => new EditorNode(newNodes[type]) });
  await app.execute(id);
  holds(app.toasts.length === 1, `${id} gave ${app.toasts.length} messages`);
  const [{ severity, summary, detail }] = app.toasts;
  holds(typeof summary === "string" && summary && !/[\n\r]/.test(summary), `${id} sums up in no line`);
  holds(typeof (detail ?? "") === "string", `the details of ${id} are no text`);
  const after = JSON.stringify(root.written());
  if (severity !== "success") holds(app.undone || after === before, `${id} changed the workflow and did not say so: ${summary}`);
  return { severity, detail, after };
}

/**
 * Give both commands by the page's own script. Throws a Fault where one does not do what the scripts behind it do.
 * @param {any} data @param {any} newNodes
 * @param {{refused: string, changed: boolean, after: string}} added What the scripts do. @param {{refused: string, changed: boolean, after: string}} removed
 */
export async function commanded(data, newNodes, added, removed) {
  for (const [id, expected] of /** @type {[string, any][]} */ ([["safety-steer.add", added], ["safety-steer.remove", removed]])) {
    const { severity, detail, after } = await given(id, data, newNodes);
    if (expected.refused) {
      holds(severity === "error" && detail === `${expected.refused}. The workflow is as it was.`, `${id}: ${severity}: ${detail}; but ${expected.refused}`);
      continue;
    }
    holds(severity === (expected.changed ? "success" : "info"), `${id}: ${severity}: ${detail}`);
    holds(after === expected.after, `${id} does something else than the scripts behind it`);
  }
  const offered = extension.getCanvasMenuItems().filter(Boolean);
  holds(offered.length === 2 && extension.menuCommands[0].commands.length === 2, "the commands are not offered");
}

/** Let all nodes of a workflow say something, and the run end in each way; throws a Fault where something else comes back. */
export function told(data) {
  const { api, extensionManager } = app;
  const root = opened(data);
  Object.assign(app, { rootGraph: root });
  extensionManager.workflow.activeWorkflow = {};
  const places = placesIn(root);
  for (const id of [...places.keys(), ...ODD_IDS]) api.comes("progress_text", { nodeId: id, text: `of ${id}` });
  const own = [...places].filter(([, type]) => OWN_NODES.includes(type)).map(([id]) => id);
  for (const end of ENDS) {
    const back = new Set(ended(end).map(({ nodeId, text }) => (text === `of ${nodeId}` ? nodeId : `another text: ${text}`)));
    holds(own.every((id) => back.has(id)), `not said again: ${own.filter((id) => !back.has(id))}`);
    const others = [...back].filter((id) => !own.includes(id) && !ODD_IDS.map(String).includes(id));
    holds(!others.length, `said again, but not by a node of the pack: ${others}`);
  }
  extensionManager.workflow.activeWorkflow = {};
  holds(!ended(ENDS[0]).length, "said again in another workflow");
  app.rootGraph = undefined;
  ended(ENDS[0]);
}

/** Let a run end, and what waits for it be done; return what was said again. */
function ended(end) {
  const later = [];
  const { setTimeout } = globalThis;
  app.api.dispatched.length = 0;
  Object.assign(globalThis, { setTimeout: (work) => later.push(work) });
  app.api.comes(end, {});
  Object.assign(globalThis, { setTimeout });
  for (const work of later) work();
  return [...app.api.dispatched];
}

/** Return the types of some nodes by the id they run under; only of those whose ids are plain, and whose type says what they are. */
function placesIn(root) {
  const found = new Map();
  const waiting = [{ graph: root, path: [] }];
  for (const { graph, path } of waiting) {
    for (const node of graph.nodes) {
      if (found.size >= MOST_PLACES) return found;
      // Of two nodes that have got one id, a message is taken for the first.
      const isPlain = /^\d+$/.test(`${node.id}`) && graph.getNodeById(node.id) === node;
      if (!isPlain || hasOwnConstructor(node)) continue;
      const id = [...path, node.id].join(":");
      found.set(id, node.type);
      if (node.subgraph && path.length < DEEPEST) waiting.push({ graph: node.subgraph, path: [...path, node.id] });
    }
  }
  return found;
}

/** Tell whether a file has given a node a constructor of its own. */
const hasOwnConstructor = (node) => Object.prototype.propertyIsEnumerable.call(node, "constructor");
