// What scripts share that drive ComfyUI's window: a page with the settings a test needs, what went wrong in it, its workflow.
import { createRequire } from "node:module";
import { join } from "node:path";

export const LARGE = { width: 1600, height: 900 };
const OURS = /safety.?steer/i;
/** Where the front end itself asks about packs by name. */
const REGISTRY = /api\.comfy\.org/;
/** The front end asks for a help page in its language before it takes the one there is. */
const HELP_IN_A_LANGUAGE = /\/docs\/\w+\/[\w-]+\.md$/;

/**
 * Open ComfyUI with settings, and the classic canvas or Nodes 2.0 (`canvas` is "classic" or "vue").
 * What goes wrong is kept in `errors`: in this pack from the start, in the page once it stands. `look` is Playwright's for the page.
 */
export async function open(chromiumPath, playwrightFolder, url, canvas, look = { viewport: LARGE }, more = {}) {
  const { chromium } = createRequire(join(playwrightFolder, "package.json"))("playwright-core");
  const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox", "--no-proxy-server"] });
  const page = await browser.newPage(look);
  const errors = [];
  let stands = false;
  page.on("pageerror", (error) => {
    // Older front ends stumble over settings of their own while they start.
    if (stands || OURS.test(error.stack)) errors.push(`${error.message} ${error.stack}`.slice(0, 600));
  });
  page.on("console", (message) => {
    const where = (message.location().url ?? "").split("/extensions/")[1] ?? "";
    const wrong = ["error", "warning"].includes(message.type()) && OURS.test(`${message.text()} ${where}`);
    if (wrong && !REGISTRY.test(message.text()) && !HELP_IN_A_LANGUAGE.test(where)) errors.push(`${message.type()}: ${message.text()} ${where}`.slice(0, 600));
  });
  // Settings count from the next start of the page; without the first one a dialog lies over everything.
  const settings = {
    "Comfy.TutorialCompleted": true,
    "Comfy.VueNodes.Enabled": canvas === "vue",
    "Comfy.Minimap.Visible": false,
    ...more,
  };
  await start(page, url);
  await page.evaluate(async (all) => {
    for (const [name, value] of Object.entries(all)) await window.app.extensionManager.setting.set(name, value);
  }, settings);
  await start(page, url);
  await page.evaluate(() => {
    window.toasts = [];
    const { toast } = window.app.extensionManager;
    const add = toast.add.bind(toast);
    toast.add = (message) => {
      window.toasts.push(message);
      add(message);
    };
  });
  stands = true;
  return { browser, page, errors };
}

async function start(page, url) {
  const ready = () => window.app?.extensionManager && (window.app.rootGraph ?? window.app.graph);
  await page.goto(url, { timeout: 240000 });
  await page.waitForFunction(ready, null, { timeout: 240000 });
  await page.waitForTimeout(2000);
}

/** Load a workflow in the tab that is open. It goes to the page as a text: values that lie deep in each other do not get there. */
export const load = (page, data) =>
  page.evaluate((one) => {
    const { app } = window;
    return app.loadGraphData(JSON.parse(one), true, false, app.extensionManager.workflow.activeWorkflow);
  }, JSON.stringify(data));

/** Give one of ComfyUI's commands. */
export const execute = (page, id) => page.evaluate((one) => window.app.extensionManager.command.execute(one), id);

/** Return the messages in the corner of the window since the last time. */
export const toasts = (page) => page.evaluate(() => window.toasts.splice(0));

/**
 * Return what would be sent to the server, what would be saved now, and how many steps can be undone: as soon as the front end has
 * drawn, since it gives nodes whose inputs grow their sockets with the next frame.
 */
export const state = async (page) =>
  JSON.parse(
    await page.evaluate(async () => {
      for (let frame = 0; frame < 2; frame++) await new Promise(requestAnimationFrame);
      const { output, workflow } = await window.app.graphToPrompt();
      // Where the camera of a 3D view is now: it moves by itself.
      for (const node of Object.values(output)) delete node.inputs?.viewport_state;
      const tracker = window.app.extensionManager.workflow.activeWorkflow?.changeTracker;
      return JSON.stringify({ output, workflow, steps: tracker?.undoQueue.length });
    }),
  );
