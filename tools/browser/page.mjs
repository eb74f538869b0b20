// ComfyUI's window as the scripts beside this one use it: opened without its dialogs and frames, its graph shown and run.
import { readFileSync } from "node:fs";
import { basename } from "node:path";

import * as driver from "../../tests/support/browser/driver.mjs";

const QUIET = {
  "Comfy.Workflow.ShowMissingModelsWarning": false,
  "Comfy.Workflow.ShowMissingNodesWarning": false,
  "Comfy.RightSidePanel.IsOpen": false,
  "Comfy.Graph.CanvasInfo": false,
  "Comfy.Graph.CanvasMenu": false,
  "Comfy.NodeBadge.NodeSourceBadgeMode": "None",
  "Comfy.NodeBadge.NodeLifeCycleBadgeMode": "None",
  "Comfy.Workflow.Persist": false,
};
const PAUSE = 1500;

/** Open ComfyUI at a size in pixels, `sharpness` of which make one of the picture's sides each; "classic" or "vue" nodes. */
export async function open(chromiumPath, playwrightFolder, url, { width, height, sharpness = 1, canvas = "classic" }) {
  const look = { viewport: { width, height }, deviceScaleFactor: sharpness };
  const { browser, page } = await driver.open(chromiumPath, playwrightFolder, url, canvas, look, QUIET);
  await page.waitForTimeout(PAUSE);
  await page.keyboard.press("Escape");
  return { browser, page };
}

/** Load a workflow in a tab of its own, named after its file. */
export async function load(page, path) {
  const data = JSON.parse(readFileSync(path, "utf8"));
  await page.evaluate(([one, name]) => window.app.loadGraphData(one, true, false, name), [data, basename(path, ".json")]);
  await page.waitForTimeout(PAUSE);
  await page.keyboard.press("Escape");
}

/** Queue what is loaded, nothing of it taken from the cache, and wait until it is done; returns what the nodes showed, by node. */
export async function run(page, url, minutes = 10) {
  const forget = JSON.stringify({ free_memory: true });
  await fetch(`${url}/free`, { method: "POST", headers: { "Content-Type": "application/json" }, body: forget });
  const before = new Set(Object.keys(await (await fetch(`${url}/history`)).json()));
  await page.evaluate(() => window.app.queuePrompt(0));
  for (let second = 0; second < 60 * minutes; second += 2) {
    await page.waitForTimeout(2000);
    const history = await (await fetch(`${url}/history`)).json();
    const found = Object.entries(history).find(([id]) => !before.has(id));
    if (!found) continue;
    const { status, outputs } = found[1];
    if (status.status_str !== "success") throw new Error(JSON.stringify(status.messages).slice(0, 600));
    await page.waitForTimeout(2 * PAUSE);
    return outputs;
  }
  throw new Error("It did not end in time.");
}

/** Hide everything but the graph. */
export async function hideFrames(page) {
  await page.evaluate(() => window.app.extensionManager.command.execute("Workspace.ToggleFocusMode"));
  await page.addStyleTag({ content: "main > .fixed.top-0.right-0, button:has(> .pi-bars) { display: none !important; }" });
  await page.waitForTimeout(PAUSE);
}

/** Show some nodes, by type or title, or all: as large as fits between the margins (left, top, right, bottom). Returns their box. */
export async function show(page, names, margins = [20, 20, 20, 20], largest = 1) {
  const box = await page.evaluate(
    ([wanted, [left, top, right, bottom], most]) => {
      const { canvas, graph } = window.app;
      const isWanted = (node) => !wanted || wanted.includes(node.type) || wanted.includes(node.title);
      const boxes = graph.nodes.filter(isWanted).map((node) => [...node.pos, ...node.size]);
      boxes.forEach((one) => ((one[1] -= 30), (one[3] += 30)));
      if (!wanted) boxes.push(...graph.groups.map((group) => [...group.pos, ...group.size]));
      const low = [0, 1].map((side) => Math.min(...boxes.map((one) => one[side])));
      const size = [0, 1].map((side) => Math.max(...boxes.map((one) => one[side] + one[side + 2])) - low[side]);
      const room = [window.innerWidth - left - right, window.innerHeight - top - bottom];
      const scale = Math.min(most, room[0] / size[0], room[1] / size[1]);
      canvas.ds.scale = scale;
      canvas.ds.offset[0] = left / scale - low[0];
      canvas.ds.offset[1] = top / scale - low[1];
      canvas.deselectAll?.();
      canvas.setDirty(true, true);
      return { x: left, y: top, width: size[0] * scale, height: size[1] * scale };
    },
    [names, margins, largest],
  );
  await page.waitForTimeout(PAUSE);
  return box;
}
