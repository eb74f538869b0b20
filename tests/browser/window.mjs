// Runs the window's command on workflows in the real front end and prints one JSON line for each.
// node window.mjs CHROMIUM PLAYWRIGHT_FOLDER URL FOLDER CANVAS: the folder holds before/NAME.json, after/NAME.json (what the
// command line makes of it) and orders.json: of which workflows pictures are to be put into pictures/, and in which ones a
// subgraph is to be open when the command is given. CANVAS is "classic" or "vue".
import { createRequire } from "node:module";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const [chromiumPath, playwrightFolder, url, folder, canvas] = process.argv.slice(2);
const { chromium } = createRequire(join(playwrightFolder, "package.json"))("playwright-core");
const COMMAND = "safety-steer.add";
const orders = JSON.parse(readFileSync(join(folder, "orders.json"), "utf8"));
const OURS = /safety.?steer/i;

const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox", "--no-proxy-server"] });
const page = await browser.newPage({ viewport: { width: 1600, height: 900 } });
const errors = [];
page.on("pageerror", (error) => errors.push(`${error.message} ${error.stack}`.slice(0, 600)));
page.on("console", (message) => {
  // The front end itself asks elsewhere about packs by name: only files of this pack count.
  const where = (message.location().url ?? "").split("/extensions/")[1] ?? "";
  if (["error", "warning"].includes(message.type()) && OURS.test(`${message.text()} ${where}`)) {
    errors.push(`${message.type()}: ${message.text()}`.slice(0, 600));
  }
});
// Settings count from the next start of the page; without the first one a dialog lies over everything.
const settings = { "Comfy.TutorialCompleted": true, "Comfy.VueNodes.Enabled": canvas === "vue" };
await start();
await page.evaluate(async (all) => {
  for (const [name, value] of Object.entries(all)) await window.app.extensionManager.setting.set(name, value);
}, settings);
await start();
await page.evaluate(() => {
  window.toasts = [];
  const { toast } = window.app.extensionManager;
  const add = toast.add.bind(toast);
  toast.add = (message) => {
    window.toasts.push(message);
    add(message);
  };
});

async function start() {
  const ready = () => window.app?.extensionManager && (window.app.rootGraph ?? window.app.graph);
  await page.goto(url);
  await page.waitForFunction(ready, null, { timeout: 120000 });
  await page.waitForTimeout(2000);
}

const read = (kind, name) => JSON.parse(readFileSync(join(folder, kind, name), "utf8"));
/** Load a workflow in the tab that is open. */
const load = (data) =>
  page.evaluate((one) => {
    const { app } = window;
    return app.loadGraphData(one, true, false, app.extensionManager.workflow.activeWorkflow);
  }, data);
const execute = (id) => page.evaluate((one) => window.app.extensionManager.command.execute(one), id);
const toasts = () => page.evaluate(() => window.toasts.splice(0));

/** Return what would be sent and saved now, and how many steps can be undone. */
function state() {
  return page.evaluate(async () => {
    const { output, workflow } = await window.app.graphToPrompt();
    const tracker = window.app.extensionManager.workflow.activeWorkflow?.changeTracker;
    return { output, workflow: JSON.parse(JSON.stringify(workflow)), steps: tracker?.undoQueue.length };
  });
}

/** Show the graph that holds the steering, or a subgraph in use; the root with `back`. */
const show = (back) =>
  page.evaluate((toRoot) => {
    const { canvas } = window.app;
    const root = window.app.rootGraph ?? window.app.graph;
    const graphs = [root, ...root.subgraphs.values()];
    const holds = (graph) => graph.nodes.some((node) => node.type === "ApplySafetySteer");
    canvas.setGraph(toRoot ? root : (graphs.find(holds) ?? graphs[1]));
  }, back);

async function one(name) {
  const line = {};
  await load(read("after", name));
  line.expected = (await state()).output;
  await load(read("before", name));
  line.before = await state();
  await toasts();
  if (orders.inSubgraph.includes(name)) await show(false);
  await execute(COMMAND);
  await show(true);
  line.toasts = await toasts();
  line.after = await state();
  if (orders.pictures.includes(name)) await picture(name);
  await execute(COMMAND);
  line.toastsAgain = await toasts();
  line.again = await state();
  await execute("Comfy.Undo");
  line.undone = await state();
  return line;
}

async function picture(name) {
  await show(false);
  await page.waitForTimeout(1500);
  await execute("Comfy.Canvas.FitView");
  await page.waitForTimeout(1500);
  await page.screenshot({ path: join(folder, "pictures", name.replace(".json", ".png")) });
  await show(true);
}

/** Give the command where a sampler refuses the new wire. */
async function refused() {
  await load(read("before", "base and refiner.json"));
  const before = await state();
  await page.evaluate(() => {
    const samplers = (window.app.rootGraph ?? window.app.graph).nodes.filter((node) => node.type === "KSampler");
    samplers.at(-1).onConnectInput = () => false;
  });
  await toasts();
  await execute(COMMAND);
  return { before, toasts: await toasts(), after: await state() };
}

/** Tell whether the command is offered in the menu, in the canvas's own menu and in the command palette. */
const menus = () =>
  page.evaluate((id) => {
    const { app } = window;
    const extension = app.extensions.find((one) => one.commands?.some((command) => command.id === id));
    const command = app.extensionManager.command.commands.find((one) => one.id === id);
    const items = app.canvas.getCanvasMenuOptions();
    return {
      menu: extension.menuCommands.some((one) => one.path[0] === "Extensions" && one.commands.includes(id)),
      canvas: items.some((item) => item?.content === command?.label),
      palette: !!command,
    };
  }, COMMAND);

for (const name of readdirSync(join(folder, "before")).sort()) {
  errors.length = 0;
  let line = { name };
  try {
    line = { name, menus: await menus(), ...(await one(name)) };
  } catch (error) {
    line.error = String(error).slice(0, 600);
  }
  console.log(JSON.stringify({ ...line, pageErrors: [...new Set(errors)] }));
}
console.log(JSON.stringify({ name: "refused", ...(await refused()) }));
await browser.close();
