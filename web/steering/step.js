// A change of the open workflow as one step that can be undone, and that is taken back when it fails half way.

/**
 * Work on the open workflow; take every change back and throw when something fails.
 * @param {any} app The front end's application.
 * @param {{changed: boolean}} edit Says whether the workflow is no longer as it was.
 * @param {() => void} work
 */
export async function asOneStep(app, edit, work) {
  let failure;
  app.canvas.emitBeforeChange();
  try {
    work();
  } catch (error) {
    failure = error;
  }
  app.canvas.emitAfterChange();
  app.canvas.setDirty(true, true);
  if (failure && edit.changed) await app.extensionManager.command.execute("Comfy.Undo");
  if (failure) throw failure;
}
