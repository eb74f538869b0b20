// Loads pairs of workflows in the real front end and prints what each would send to the server, one JSON line a pair.
// node compare.mjs CHROMIUM PLAYWRIGHT_FOLDER URL FOLDER: the folder holds before/NAME.json and after/NAME.json.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { open } from "./page.mjs";

const [chromiumPath, playwrightFolder, url, folder] = process.argv.slice(2);
const editor = await open(chromiumPath, playwrightFolder, url, "classic");

async function sent(kind, name) {
  await editor.load(JSON.parse(readFileSync(join(folder, kind, name), "utf8")));
  return await editor.state();
}

for (const name of readdirSync(join(folder, "before")).sort()) {
  editor.errors.length = 0;
  const line = { name };
  try {
    line.before = (await sent("before", name)).output;
    const after = await sent("after", name);
    line.after = after.output;
    line.saved = after.workflow;
  } catch (error) {
    line.error = String(error).slice(0, 300);
  }
  line.pageErrors = [...new Set(editor.errors)];
  console.log(JSON.stringify(line));
}
await editor.browser.close();
