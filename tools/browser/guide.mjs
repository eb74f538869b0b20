// Takes the pictures of the README's guide in ComfyUI's window: a plain workflow, the command, what it added, and a node.
// node tools/browser/guide.mjs CHROMIUM PLAYWRIGHT_FOLDER URL OUTPUT TEMPLATE.json: leaves OUTPUT/1-template.jpg ... 4-node.jpg. Given a
// demo workflow in place of a template it is run, and what its nodes say then is in OUTPUT/5-report.jpg.
import { join } from "node:path";

import { hideFrames, load, open, run, show } from "./page.mjs";

const [chromium, playwright, url, output, template] = process.argv.slice(2);
const SIZE = { width: 1200, height: 640 };
// What of the window is taken by its own frames: left, top, right, bottom.
const ROOM = [66, 96, 20, 16];
const MENU = ["Extensions", "Safety Steer"];
const COMMAND = "Add safety steering to this workflow";

const { browser, page } = await open(chromium, playwright, url, { ...SIZE, sharpness: 1.35 });
const picture = (name, clip) => page.screenshot({ path: join(output, `${name}.jpg`), type: "jpeg", quality: 82, clip });
const around = ({ x, y, width, height }) => ({ x: x - 16, y: y - 16, width: width + 32, height: height + 28 });
await load(page, template);

if (template.includes("demo-")) {
  await run(page, url);
  await hideFrames(page);
  await picture("5-report", around(await show(page, ["ApplySafetySteer", "SafetyReport"], [20, 20, 20, 20], 1.2)));
} else {
  await show(page, null, ROOM);
  await picture("1-template");
  await page.locator(".comfyui-logo, .comfy-menu-button-wrapper").first().click();
  for (const entry of MENU) {
    await page.waitForTimeout(800);
    await page.getByText(entry, { exact: true }).first().click();
  }
  await page.waitForTimeout(800);
  await page.getByText(COMMAND).first().hover();
  await page.waitForTimeout(800);
  await picture("2-command", { x: 0, y: 0, width: 760, height: 520 });
  await page.getByText(COMMAND).first().click();
  await page.waitForTimeout(1000);
  await show(page, null, ROOM);
  await picture("3-added");
  await hideFrames(page);
  const box = await show(page, ["ApplySafetySteer"], [40, 40, 40, 160], 1.2);
  await openPreset();
  const { x, y, width, height } = around(box);
  await picture("4-node", { x, y, width: width + 180, height: height + 130 });
}
await browser.close();

/** Click at the value of `preset`, which opens its list. */
async function openPreset() {
  const [x, y] = await page.evaluate(() => {
    const { canvas, graph } = window.app;
    const node = graph.nodes.find((one) => one.type === "ApplySafetySteer");
    const preset = node.widgets.find((one) => one.name === "preset");
    const inside = [node.pos[0] + 0.75 * node.size[0], node.pos[1] + (preset.last_y ?? preset.y) + 10];
    return canvas.ds.convertOffsetToCanvas(inside);
  });
  await page.mouse.click(x, y);
  await page.waitForTimeout(1000);
}
