// ComfyUI's page in Chromium, with the pack's errors collected: what the scripts of the window's tests share.
import { createRequire } from "node:module";
import { join } from "node:path";

const OURS = /safety.?steer/i;
/** Where the front end itself asks about packs by name. */
const REGISTRY = /api\.comfy\.org/;
/** A small window is drawn sooner; pictures get a large one. */
const SMALL = { width: 800, height: 600 };
const LARGE = { width: 1600, height: 900 };
export const ADD = "safety-steer.add";
export const REMOVE = "safety-steer.remove";

/** Open the page with the classic canvas ("classic") or with Nodes 2.0 ("vue"). */
export async function open(chromiumPath, playwrightFolder, url, canvas) {
  const { chromium } = createRequire(join(playwrightFolder, "package.json"))("playwright-core");
  const browser = await chromium.launch({ executablePath: chromiumPath, args: ["--no-sandbox", "--no-proxy-server"] });
  const page = await browser.newPage({ viewport: SMALL });
  const errors = [];
  page.on("pageerror", (error) => errors.push(`${error.message} ${error.stack}`.slice(0, 600)));
  page.on("console", (message) => {
    const where = (message.location().url ?? "").split("/extensions/")[1] ?? "";
    if (REGISTRY.test(message.text())) return;
    if (["error", "warning"].includes(message.type()) && OURS.test(`${message.text()} ${where}`)) {
      errors.push(`${message.type()}: ${message.text()}`.slice(0, 600));
    }
  });
  const start = async () => {
    await page.goto(url, { timeout: 240000 });
    await page.waitForFunction(() => window.app?.extensionManager && (window.app.rootGraph ?? window.app.graph), null, {
      timeout: 240000,
    });
    await page.waitForTimeout(2000);
  };
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
  return new Editor(browser, page, errors);
}

/** The editor in the page. */
class Editor {
  constructor(browser, page, errors) {
    this.browser = browser;
    this.page = page;
    this.errors = errors;
  }

  /** Load a workflow in the tab that is open. */
  load(data) {
    return this.page.evaluate((one) => {
      const { app } = window;
      return app.loadGraphData(one, true, false, app.extensionManager.workflow.activeWorkflow);
    }, data);
  }

  execute(id) {
    return this.page.evaluate((one) => window.app.extensionManager.command.execute(one), id);
  }

  /** Return the messages since the last time. */
  toasts() {
    return this.page.evaluate(() => window.toasts.splice(0));
  }

  /** Return what would be sent and saved now, and how many steps can be undone. */
  state() {
    return this.page.evaluate(async () => {
      const { output, workflow } = await window.app.graphToPrompt();
      const tracker = window.app.extensionManager.workflow.activeWorkflow?.changeTracker;
      return { output, workflow: JSON.parse(JSON.stringify(workflow)), steps: tracker?.undoQueue.length };
    });
  }

  /** Show the graph that holds the steering, or a subgraph in use; the root with `back`. */
  show(back = false) {
    return this.page.evaluate((toRoot) => {
      const { canvas } = window.app;
      const root = window.app.rootGraph ?? window.app.graph;
      const graphs = [root, ...root.subgraphs.values()];
      const holds = (graph) => graph.nodes.some((node) => node.type === "ApplySafetySteer");
      canvas.setGraph(toRoot ? root : (graphs.find(holds) ?? graphs[1]));
    }, back);
  }

  /** Put a picture of the graph that holds the steering into a file, and return where its nodes really lie. */
  async picture(path) {
    await this.page.setViewportSize(LARGE);
    await this.show();
    await this.page.waitForTimeout(1500);
    await this.execute("Comfy.Canvas.FitView");
    await this.page.waitForTimeout(1500);
    const boxes = await this.boxes();
    await this.page.screenshot({ path });
    await this.show(true);
    await this.page.setViewportSize(SMALL);
    return boxes;
  }

  /** Return the box of every node in sight, title bar included, in the canvas's units: of its elements with Nodes 2.0. */
  boxes() {
    return this.page.evaluate(() => {
      const { canvas } = window.app;
      const { scale } = canvas.ds;
      return canvas.graph.nodes.map((node) => {
        const element = document.querySelector(`[data-node-id="${node.id}"]`)?.getBoundingClientRect();
        const [left, top, width, height] = node.boundingRect ?? node.getBounding();
        const box = element
          ? [element.left / scale - canvas.ds.offset[0], element.top / scale - canvas.ds.offset[1], element.width / scale, element.height / scale]
          : [left, top, width, height];
        return { id: node.id, type: node.type, box: Array.from(box), drawn: !!element };
      });
    });
  }
}
