// The commands that add safety steering to the open workflow and remove it: in the menu, on the canvas and in the command
// palette. They do what `safety-steer add` and `safety-steer add --remove` do to a file. And what the nodes say stays on them
// after a run. The pack works without this script.

import { app } from "../../scripts/app.js";
import { Inserter } from "./steering/insert.js";
import { ALIGN, APPLY, LOAD } from "./steering/pack_nodes.js";
import { plan } from "./steering/plan.js";
import { Remover } from "./steering/remove.js";
import { STEER, STEERED } from "./steering/rules.js";
import { asOneStep } from "./steering/step.js";
import { keepTexts } from "./steering/texts.js";
import { added, details, removed, stay } from "./steering/words.js";

const SHOWN_MS = 12000;
const COMMANDS = [
  {
    id: "safety-steer.add",
    label: "Add safety steering to this workflow",
    icon: "pi pi-shield",
    work: addSteering,
    failed: "Safety steering could not be added",
  },
  {
    id: "safety-steer.remove",
    label: "Remove safety steering from this workflow",
    icon: "pi pi-eraser",
    work: removeSteering,
    failed: "Safety steering could not be removed",
  },
];

/** Return the graph that is seen first; older front ends have it under the second name. */
const rootGraph = () => app.rootGraph ?? app.graph;

/** Put steering into the open workflow, and say what became of every sampler. */
async function addSteering() {
  const root = rootGraph();
  const verdicts = plan(root);
  const changes = verdicts.some((verdict) => verdict.state === STEER);
  if (changes) {
    [LOAD, ALIGN, APPLY].forEach(createNode);
    const inserter = new Inserter(root, createNode);
    await asOneStep(app, root, inserter, () => verdicts.forEach((verdict) => inserter.insert(verdict)));
  }
  say(changes ? "success" : "info", added(verdicts), details(verdicts, root));
}

/** Take steering out of the open workflow, and say how many samplers had it. */
async function removeSteering() {
  const root = rootGraph();
  const steered = () => plan(root).filter((verdict) => verdict.state === STEERED && !verdict.off).length;
  const before = steered();
  const remover = new Remover(root);
  if (remover.needed) await asOneStep(app, root, remover, () => remover.remove());
  say(remover.changed ? "success" : "info", removed(before - steered(), remover.nodes), stay(remover.blocks));
}

/** Make a node that is in no graph yet. */
function createNode(type) {
  const node = LiteGraph.createNode(type);
  if (!node) throw new Error(`ComfyUI does not know the node ${type}`);
  return node;
}

/** Show one message in the corner of the window. */
function say(severity, summary, detail) {
  app.extensionManager.toast.add({ severity, summary, detail, life: SHOWN_MS });
}

let last = Promise.resolve();

/** Start a command when the one before has ended, and say what went wrong. */
function inTurn({ work, failed }) {
  last = last.then(work).catch((error) => say("error", failed, `${error.message}. The workflow is as it was.`));
  return last;
}

app.registerExtension({
  name: "SafetySteer",
  setup: () => keepTexts(app),
  commands: COMMANDS.map((one) => {
    const { id, label, icon } = one;
    return { id, label, icon, mutatesGraph: true, function: () => inTurn(one) };
  }),
  menuCommands: [{ path: ["Extensions", "Safety Steer"], commands: COMMANDS.map(({ id }) => id) }],
  getCanvasMenuItems: () => [
    null,
    ...COMMANDS.map(({ id, label }) => ({ content: label, callback: () => app.extensionManager.command.execute(id) })),
  ],
});
