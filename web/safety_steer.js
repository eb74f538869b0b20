// The command "Add safety steering to this workflow": in the menu, on the canvas and in the command palette.
// It does to the open workflow what `safety-steer add` does to a file; the pack works without it.

import { app } from "../../scripts/app.js";
import { Inserter } from "./steering/insert.js";
import { ALIGN, APPLY, LEFT, LOAD, plan, STEER, STEERED } from "./steering/plan.js";

const COMMAND = "safety-steer.add";
const LABEL = "Add safety steering to this workflow";
const WORDS = { [STEER]: "steered now", [STEERED]: "steered already", [LEFT]: "left alone" };
const SHOWN_MS = 12000;
const MOST_LINES = 8;

/** Return the graph that is seen first; older front ends have it under the second name. */
const rootGraph = () => app.rootGraph ?? app.graph;

/** Put steering into the open workflow as one undo step, and say what became of every sampler. */
async function addSteering() {
  try {
    const root = rootGraph();
    const verdicts = plan(root);
    const changes = verdicts.some((verdict) => verdict.state === STEER);
    if (changes) await change(root, verdicts);
    say(changes ? "success" : "info", summary(verdicts), details(verdicts));
  } catch (error) {
    say("error", "Safety steering could not be added", `${error.message}. The workflow is as it was.`);
  }
}

/** Make the changes; take all of them back when one fails. */
async function change(root, verdicts) {
  [LOAD, ALIGN, APPLY].forEach(createNode);
  const inserter = new Inserter(root, createNode);
  let failure;
  app.canvas.emitBeforeChange();
  try {
    verdicts.forEach((verdict) => inserter.insert(verdict));
  } catch (error) {
    failure = error;
  }
  app.canvas.emitAfterChange();
  app.canvas.setDirty(true, true);
  if (failure && inserter.changed) await app.extensionManager.command.execute("Comfy.Undo");
  if (failure) throw failure;
}

/** Make a node that is in no graph yet. */
function createNode(type) {
  const node = LiteGraph.createNode(type);
  if (!node) throw new Error(`ComfyUI does not know the node ${type}`);
  return node;
}

/** Sum up what became of the samplers. @param {import("./steering/plan.js").Verdict[]} verdicts */
function summary(verdicts) {
  if (!verdicts.length) return "Nothing to steer: this workflow has no sampler that runs in ComfyUI itself";
  const counts = Object.keys(WORDS).map((state) => [verdicts.filter((one) => one.state === state).length, state]);
  const parts = counts.filter(([count]) => count).map(([count, state]) => `${count} sampler${count > 1 ? "s" : ""} ${WORDS[state]}`);
  return `${counts[0][0] ? "Safety steering added" : "Nothing changed"}: ${parts.join(", ")}`;
}

/** List the samplers that have something to be said about, in lines. */
function details(verdicts) {
  const lines = verdicts.filter((one) => one.reason).map((one) => `${label(one)}: ${WORDS[one.state]}, ${one.reason}`);
  const more = lines.length - MOST_LINES;
  return [...lines.slice(0, MOST_LINES), ...(more > 0 ? [`and ${more} more`] : [])].join("\n");
}

/** Name a sampler for people: title or type, id and subgraph. */
function label({ graph, node }) {
  return `${node.title || node.type} #${node.id}${graph === rootGraph() ? "" : ` in ${graph.name}`}`;
}

/** Show one message in the corner of the window. */
function say(severity, summary, detail) {
  app.extensionManager.toast.add({ severity, summary, detail, life: SHOWN_MS });
}

app.registerExtension({
  name: "SafetySteer",
  commands: [{ id: COMMAND, label: LABEL, icon: "pi pi-shield", mutatesGraph: true, function: addSteering }],
  menuCommands: [{ path: ["Extensions", "Safety Steer"], commands: [COMMAND] }],
  getCanvasMenuItems: () => [null, { content: LABEL, callback: () => app.extensionManager.command.execute(COMMAND) }],
});
