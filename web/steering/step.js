// A change of the open workflow as one step that can be undone, and that is taken back when it fails half way.

import { allGraphs } from "./trace.js";
import { noteWires, passTakenIds } from "./wires.js";

/**
 * Work on the open workflow; take every change back and throw when something fails.
 * @param {any} app The front end's application.
 * @param {any} root The root graph.
 * @param {{changed: boolean}} edit Says whether the workflow is no longer as it was.
 * @param {() => void} work
 */
export async function asOneStep(app, root, edit, work) {
  let failure;
  app.canvas.emitBeforeChange();
  try {
    passTakenIds(allGraphs(root));
    work();
    noteWires(allGraphs(root));
    // New nodes were put in their order before they had wires; a front end that finds another later takes it for a step.
    allGraphs(root).forEach((graph) => graph.updateExecutionOrder());
  } catch (error) {
    failure = error;
  }
  app.canvas.emitAfterChange();
  app.canvas.setDirty(true, true);
  if (failure && edit.changed) await app.extensionManager.command.execute("Comfy.Undo");
  if (failure) throw failure;
}
