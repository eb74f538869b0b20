// Puts the blueprint on the canvas as a person does, wires and queues it; prints one JSON line with what was seen.
// node blueprint.mjs CHROMIUM PLAYWRIGHT_FOLDER URL FOLDER CANVAS: the folder holds plain.json, a workflow without steering,
// and gets block.png. CANVAS is "classic" or "vue".
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { execute, load, open, state, toasts } from "./driver.mjs";

const [chromiumPath, playwrightFolder, url, folder, canvasKind] = process.argv.slice(2);
const { browser, page, errors } = await open(chromiumPath, playwrightFolder, url, canvasKind);
const NAME = "Safety Steer";
const MARGIN = 30;
const CORNER = [100, 160];
const FREE = [800, 400];
/** Where the canvas's origin is shown, and a place of the page with nothing on it but the canvas. */

/** Find the blueprint in the search, which a double click on the empty canvas opens, and put it there. */
async function add() {
  await show();
  await page.mouse.dblclick(...FREE);
  await page.waitForFunction(() => document.activeElement?.tagName === "INPUT", null, { timeout: 20000 });
  await page.waitForTimeout(500);
  await page.keyboard.type(NAME, { delay: 30 });
  await page.getByText("Subgraph Blueprints").last().waitFor({ timeout: 20000 });
  const listed = await page.evaluate(() => document.body.innerText);
  await page.keyboard.press("Enter");
  const placed = () => (window.app.rootGraph ?? window.app.graph).nodes.some((node) => node.subgraph);
  await page.waitForFunction(placed, null, { timeout: 20000 });
  await page.waitForTimeout(500);
  // Newer front ends let the new node hang at the pointer until a click.
  await page.mouse.click(...FREE);
  await page.waitForTimeout(500);
  return listed.includes("Subgraph Blueprints");
}

/** Wire the block between the generator and the sampler. */
const wire = () =>
  page.evaluate(() => {
    const { nodes } = window.app.rootGraph ?? window.app.graph;
    const [block, generator, sampler] = [
      nodes.find((node) => node.subgraph),
      ...["LoadDemoGenerator", "KSampler"].map((type) => nodes.find((node) => node.type === type)),
    ];
    const slot = (node, name) => node.inputs.findIndex((input) => input.name === name);
    block.pos = [(generator.pos[0] + generator.size[0] + sampler.pos[0] - block.size[0]) / 2, generator.pos[1]];
    generator.connect(0, block, slot(block, "model"));
    generator.connect(1, block, slot(block, "clip"));
    block.connect(0, sampler, slot(sampler, "model"));
    window.app.canvas.setDirty(true, true);
  });

/** Return the block's widgets as they are shown, and the node's size and the least it needs. */
const shown = () =>
  page.evaluate(() => {
    const block = (window.app.rootGraph ?? window.app.graph).nodes.find((node) => node.subgraph);
    const widgets = block.widgets.map((widget) => ({ name: widget.name, label: widget.label ?? widget.name, value: widget.value }));
    return { title: block.title, widgets, size: [...block.size], least: [...block.computeSize()] };
  });

/** Change values of the block, as its widgets do. */
const change = (values) =>
  page.evaluate((all) => {
    const block = (window.app.rootGraph ?? window.app.graph).nodes.find((node) => node.subgraph);
    for (const [name, value] of Object.entries(all)) {
      const widget = block.widgets.find((one) => one.name === name);
      widget.value = value;
      widget.callback?.(value, window.app.canvas, block);
    }
  }, values);

/** Queue the workflow with the window's own command, and return the pictures it saved and any error. */
async function queue() {
  const done = async () => Object.entries(await (await fetch(`${url}/history`)).json());
  const before = new Set((await done()).map(([id]) => id));
  await execute(page, "Comfy.QueuePrompt");
  for (let waited = 0; waited < 600; waited += 1) {
    const entry = (await done()).find(([id]) => !before.has(id));
    if (entry) {
      const { outputs, status } = entry[1];
      return { status: status.status_str, images: Object.values(outputs).flatMap((one) => one.images ?? []) };
    }
    await page.waitForTimeout(1000);
  }
  throw new Error("nothing was drawn");
}

/** Show the workflow in its own size. */
async function show() {
  await page.evaluate((corner) => {
    const { canvas } = window.app;
    canvas.deselectAll?.();
    canvas.ds.scale = 1;
    canvas.ds.offset = corner;
    canvas.setDirty(true, true);
  }, CORNER);
  await page.waitForTimeout(1000);
}

/** Take a picture of the block between its neighbours. */
async function picture() {
  await show();
  await page.mouse.move(5, 895);
  await page.waitForTimeout(1500);
  const clip = await page.evaluate((margin) => {
    const { canvas, rootGraph, graph } = window.app;
    const { nodes } = rootGraph ?? graph;
    const [first, block, last] = [
      nodes.find((node) => node.type === "LoadDemoGenerator"),
      nodes.find((node) => node.subgraph),
      nodes.find((node) => node.type === "KSampler"),
    ];
    const { x, y } = canvas.canvas.getBoundingClientRect();
    const [right, down] = canvas.ds.offset;
    const width = last.pos[0] + last.size[0] - first.pos[0] + 2 * margin;
    const height = block.size[1] + 3.5 * margin;
    return { x: x + first.pos[0] + right - margin, y: y + first.pos[1] + down - 2 * margin, width, height };
  }, MARGIN);
  await page.screenshot({ path: join(folder, "block.png"), clip });
}

/** Return the texts on the block that are cut off: on the page with Nodes 2.0, of the whole node on the canvas. */
const cutOff = () =>
  page.evaluate(() => {
    const block = (window.app.rootGraph ?? window.app.graph).nodes.find((node) => node.subgraph);
    const parts = [...document.querySelectorAll(`[data-node-id="${block.id}"] *`)];
    const texts = parts.filter((part) => part.children.length === 0 && part.textContent.trim());
    const cut = texts.filter((part) => part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).overflowX !== "visible");
    return { onPage: texts.length, cut: cut.map((part) => part.textContent) };
  });

const line = {};
try {
  await load(page, JSON.parse(readFileSync(join(folder, "plain.json"), "utf8")));
  await page.waitForTimeout(1000);
  line.plain = (await state(page)).output;
  line.listed = await add();
  await wire();
  line.shown = await shown();
  line.texts = await cutOff();
  line.first = await state(page);
  await picture();
  await toasts(page);
  await execute(page, "safety-steer.add");
  line.toasts = await toasts(page);
  line.again = await state(page);
  line.queued = await queue();
  await change({ strength: 0.5, violence: 2, illegal_activity: 0.25, preset: "gentle" });
  line.changed = await state(page);
  await load(page, line.changed.workflow);
  line.reloaded = await state(page);
  line.shownAgain = await shown();
} catch (error) {
  line.error = String(error.stack ?? error).slice(0, 900);
  await page.screenshot({ path: join(folder, "error.png") });
}
console.log(JSON.stringify({ ...line, pageErrors: [...new Set(errors)] }));
await browser.close();
