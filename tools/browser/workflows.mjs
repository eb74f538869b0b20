// Opens workflows in ComfyUI's window, runs those that run as they are, and draws the graph of each.
// node tools/browser/workflows.mjs CHROMIUM PLAYWRIGHT_FOLDER URL OUTPUT WIDTH FILE.json...: leaves OUTPUT/NAME.png, WIDTH pixels wide, and prints
// one JSON line for each: its name, which files its nodes saved, by the title of the node, and where in the picture the group of the
// steering nodes is: left, top, width.
import { basename, join } from "node:path";

import { hideFrames, load, open, run, show } from "./page.mjs";

const [chromium, playwright, url, output, wide, ...files] = process.argv.slice(2);
const SIZE = { width: 1800, height: 1300 };

const { browser, page } = await open(chromium, playwright, url, { ...SIZE, sharpness: wide / SIZE.width });
await hideFrames(page);
for (const file of files) {
  const name = basename(file, ".json");
  await load(page, file);
  const outputs = name.startsWith("demo-") ? await run(page, url) : {};
  const titles = await page.evaluate(() => Object.fromEntries(window.app.graph.nodes.map((node) => [node.id, node.title])));
  const saved = Object.entries(outputs).map(([id, shown]) => [titles[id], shown.images ?? []]);
  const box = await show(page, null, [12, 12, 12, 12]);
  const clip = { x: 0, y: 0, width: box.width + 24, height: box.height + 24 };
  await page.screenshot({ path: join(output, `${name}.png`), clip });
  const steering = await page.evaluate((sharpness) => {
    const { canvas, graph } = window.app;
    const group = graph.groups.find((one) => one.color === "#2a7");
    const [left, top] = canvas.ds.convertOffsetToCanvas([...group.pos]);
    return [left, top, group.size[0] * canvas.ds.scale].map((value) => Math.round(value * sharpness));
  }, wide / SIZE.width);
  console.log(JSON.stringify({ name, saved: Object.fromEntries(saved), steering }));
}
await browser.close();
