// Loads pairs of workflows in the real front end and prints what each would send to the server, one JSON line a pair.
// node compare.mjs CHROMIUM PLAYWRIGHT_FOLDER URL FOLDER: the folder holds before/NAME.json and after/NAME.json.
import { createRequire } from "node:module";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const [chromiumPath, playwrightFolder, url, folder] = process.argv.slice(2);
const { chromium } = createRequire(join(playwrightFolder, "package.json"))("playwright-core");

const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox", "--no-proxy-server"] });
const page = await browser.newPage({ viewport: { width: 1600, height: 900 } });
const errors = [];
page.on("pageerror", (error) => errors.push(String(error.message).slice(0, 200)));
await page.goto(url);
await page.waitForFunction(() => window.app?.extensionManager && (window.app.rootGraph ?? window.app.graph), null, { timeout: 120000 });
await page.waitForTimeout(2000);

async function sent(path) {
  const workflow = JSON.parse(readFileSync(path, "utf8"));
  return await page.evaluate(async (data) => {
    await window.app.loadGraphData(data);
    const prompt = await window.app.graphToPrompt();
    return { output: prompt.output, workflow: prompt.workflow };
  }, workflow);
}

for (const name of readdirSync(join(folder, "before")).sort()) {
  errors.length = 0;
  const line = { name };
  try {
    line.before = (await sent(join(folder, "before", name))).output;
    const after = await sent(join(folder, "after", name));
    line.after = after.output;
    line.saved = after.workflow;
  } catch (error) {
    line.error = String(error).slice(0, 300);
  }
  line.pageErrors = [...new Set(errors)];
  console.log(JSON.stringify(line));
}
await browser.close();
