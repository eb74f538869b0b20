// Runs the window's commands on workflows in the real front end and prints one JSON line for each.
// node window.mjs CHROMIUM PLAYWRIGHT_FOLDER URL FOLDER CANVAS: the folder holds before/NAME.json, after/NAME.json (what the
// command line makes of it) and orders.json: of which workflows pictures are to be put into pictures/, and in which ones a
// subgraph is to be open when a command is given. CANVAS is "classic" or "vue".
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { ADD, open, REMOVE } from "./page.mjs";

const [chromiumPath, playwrightFolder, url, folder, canvas] = process.argv.slice(2);
const orders = JSON.parse(readFileSync(join(folder, "orders.json"), "utf8"));
const editor = await open(chromiumPath, playwrightFolder, url, canvas);
const read = (kind, name) => JSON.parse(readFileSync(join(folder, kind, name), "utf8"));

/** Give a command, in an open subgraph where that is ordered; return the messages. */
async function give(command, name) {
  await editor.toasts();
  if (orders.inSubgraph.includes(name)) await editor.show();
  await editor.execute(command);
  await editor.show(true);
  return await editor.toasts();
}

async function one(name) {
  const line = {};
  await editor.load(read("after", name));
  line.byCommandLine = await editor.state();
  await editor.execute(REMOVE);
  line.removedAfterCommandLine = await editor.state();
  await editor.load(read("before", name));
  await editor.forgetSteps();
  line.before = await editor.state();
  line.toasts = await give(ADD, name);
  line.after = await editor.state();
  if (orders.pictures.includes(name)) {
    line.boxes = await editor.picture(join(folder, "pictures", name.replace(".json", ".png")));
    // Nodes that are seen for the first time get the size they are drawn with, which is no step of its own.
    line.after = await editor.state();
  }
  line.toastsAgain = await give(ADD, name);
  line.again = await editor.state();
  line.toastsRemoved = await give(REMOVE, name);
  line.removed = await editor.state();
  await editor.execute("Comfy.Undo");
  line.removalUndone = await editor.state();
  await editor.execute("Comfy.Undo");
  line.undone = await editor.state();
  return line;
}

for (const name of readdirSync(join(folder, "before")).sort()) {
  editor.errors.length = 0;
  let line = { name };
  try {
    line = { name, ...(await one(name)) };
  } catch (error) {
    line.error = String(error).slice(0, 600);
  }
  console.log(JSON.stringify({ ...line, pageErrors: [...new Set(editor.errors)] }));
}
await editor.browser.close();
