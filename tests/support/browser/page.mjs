// The editor of ComfyUI's page as the tests of the window's commands drive it.
import * as driver from "./driver.mjs";

/** A small window is drawn sooner; pictures get a large one. */
const SMALL = { width: 800, height: 600 };
export const ADD = "safety-steer.add";
export const REMOVE = "safety-steer.remove";

/** Open the page with the classic canvas ("classic") or with Nodes 2.0 ("vue"). */
export async function open(chromiumPath, playwrightFolder, url, canvas) {
  const { browser, page, errors } = await driver.open(chromiumPath, playwrightFolder, url, canvas, { viewport: SMALL });
  return new Editor(browser, page, errors);
}

/** The editor in the page. */
class Editor {
  constructor(browser, page, errors) {
    this.browser = browser;
    this.page = page;
    this.errors = errors;
  }

  load(data) {
    return driver.load(this.page, data);
  }

  execute(id) {
    return driver.execute(this.page, id);
  }

  toasts() {
    return driver.toasts(this.page);
  }

  state() {
    return driver.state(this.page);
  }

  /** Forget the steps that could be undone: a tab keeps fifty, and a full list grows no more. */
  forgetSteps() {
    return this.page.evaluate(() => {
      const tracker = window.app.extensionManager.workflow.activeWorkflow?.changeTracker;
      tracker?.undoQueue.splice(0);
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
    await this.page.setViewportSize(driver.LARGE);
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
