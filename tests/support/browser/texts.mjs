// Queues an example in the real front end, twice, and prints as one JSON line what its nodes say after each run.
// node texts.mjs CHROMIUM PLAYWRIGHT_FOLDER URL FOLDER CANVAS: the folder holds example.json. CANVAS is "classic" or "vue".
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { load, open } from "./driver.mjs";

const [chromiumPath, playwrightFolder, url, folder, canvas] = process.argv.slice(2);
const { browser, page, errors } = await open(chromiumPath, playwrightFolder, url, canvas);

/** Run the workflow to its end, and wait until the front end has settled. */
async function queue() {
  await page.evaluate(async () => {
    const { api } = window.app;
    window.ended = new Promise((resolve) => {
      for (const end of ["execution_success", "execution_error"]) api.addEventListener(end, () => resolve(end), { once: true });
    });
    await window.app.queuePrompt(0, 1);
  });
  const ended = await page.evaluate(() => window.ended);
  await page.waitForTimeout(2500);
  const said = await page.evaluate(() =>
    (window.app.rootGraph ?? window.app.graph).nodes.flatMap((node) =>
      (node.widgets ?? []).filter((one) => one.name === "$$node-text-preview").map((one) => [node.type, one.value]),
    ),
  );
  return { ended, said };
}

await load(page, JSON.parse(readFileSync(join(folder, "example.json"), "utf8")));
// What the server still has from an earlier run does not run again, and would say nothing.
await fetch(`${url}/free`, { method: "POST", body: JSON.stringify({ unload_models: true, free_memory: true }) });
await page.waitForTimeout(2000);
const runs = [await queue(), await queue()];
const saved = await page.evaluate(async () => JSON.stringify((await window.app.graphToPrompt()).output));
await page.screenshot({ path: join(folder, "texts.png") });
console.log(JSON.stringify({ runs, saved, pageErrors: errors }));
await browser.close();
