// Looks at what the pack adds to ComfyUI's window: templates with their pictures, and the help page of every node.
// node pack.mjs CHROMIUM PLAYWRIGHT_FOLDER URL FOLDER CANVAS: prints one JSON line; the folder gets pictures of what was seen.
// CANVAS is "classic" or "vue".
import { join } from "node:path";

import { execute, load, open } from "./driver.mjs";

const [chromiumPath, playwrightFolder, url, folder, canvas] = process.argv.slice(2);
const { browser, page, errors } = await open(chromiumPath, playwrightFolder, url, canvas);
const PACK = "safety-steer";
const EMPTY = { last_node_id: 0, last_link_id: 0, nodes: [], links: [], groups: [], config: {}, extra: {}, version: 0.4 };
const shot = (name) => page.screenshot({ path: join(folder, `${name}.png`) });
const card = (name) => page.getByTestId(`template-workflow-${name}`);

/** Open the template browser at the pack's own templates; a dialog that is still closing does not open again. */
async function browse() {
  await page.keyboard.press("Escape");
  await page.waitForTimeout(1500);
  await execute(page, "Comfy.BrowseTemplates");
  const entry = page.getByRole("dialog").getByText(PACK, { exact: true }).first();
  await entry.waitFor({ state: "attached" });
  await entry.scrollIntoViewIfNeeded();
  await entry.click();
}

/** Return the templates listed under the pack's name, with the width of each picture. */
async function templates() {
  const served = (await (await fetch(`${url}/api/workflow_templates`)).json())[PACK] ?? [];
  await browse();
  const found = [];
  for (const name of served) {
    await card(name).waitFor({ state: "attached" });
    await card(name).scrollIntoViewIfNeeded();
    await page.waitForTimeout(1000);
    const images = await card(name).locator("img").evaluateAll((all) => all.map((one) => [one.src, one.naturalWidth]));
    // Older front ends show a copy of the file from their memory; where there is none, all show a picture of their own.
    const shown = images.filter(([source]) => source.startsWith("blob:") || source.includes(`/${PACK}/${name}.`));
    found.push({ name, width: Math.max(0, ...shown.map(([, width]) => width)) });
  }
  await shot("templates");
  return found;
}

/** Open a template as a person does, and return its nodes, and those ComfyUI does not know. */
async function opened(name) {
  await browse();
  await load(page, EMPTY);
  await card(name).waitFor({ state: "attached" });
  await card(name).scrollIntoViewIfNeeded();
  await card(name).click();
  await page.waitForFunction(() => (window.app.rootGraph ?? window.app.graph).nodes.length > 1);
  await page.waitForTimeout(1000);
  const found = await page.evaluate(() => {
    const graphs = [window.app.rootGraph ?? window.app.graph];
    for (const graph of graphs) graphs.push(...graph.nodes.map((node) => node.subgraph).filter((one) => one && !graphs.includes(one)));
    const nodes = graphs.flatMap((graph) => graph.nodes).filter((node) => !node.subgraph);
    const types = nodes.map((node) => node.type);
    return { nodes: types, missing: types.filter((type) => !(type in window.LiteGraph.registered_node_types)) };
  });
  return { name, ...found };
}

/** Open the help of a node by the button that a selected node shows, and return the page's title. */
async function help(type) {
  await page.keyboard.press("Escape");
  await load(page, EMPTY);
  await page.evaluate((one) => {
    const { app, LiteGraph } = window;
    const node = LiteGraph.createNode(one);
    (app.rootGraph ?? app.graph).add(node);
    node.pos = [0, 0];
    app.canvas.ds.scale = 0.8;
    app.canvas.ds.offset = [500, 300];
    app.canvas.deselectAll();
    app.canvas.selectItems([node]);
    app.canvas.setDirty(true, true);
  }, type);
  const title = await page.evaluate((one) => window.LiteGraph.registered_node_types[one].title, type);
  await page.getByTestId("info-button").first().click();
  const heading = page.locator(".node-help-content h1").filter({ hasText: title }).first();
  const shown = await heading.innerText({ timeout: 20000 }).catch(() => page.locator(".node-help-content").first().innerText());
  return { type, title, shown };
}

const line = {};
try {
  page.setDefaultTimeout(60000);
  line.templates = await templates();
  line.opened = [];
  for (const { name } of line.templates) line.opened.push(await opened(name));
  const definitions = await (await fetch(`${url}/api/object_info`)).json();
  const own = Object.keys(definitions).filter((type) => definitions[type].python_module === `custom_nodes.${PACK}`);
  line.help = [];
  for (const type of own) line.help.push(await help(type));
  await shot("help");
} catch (error) {
  line.error = String(error.stack ?? error).slice(0, 900);
  await shot("error");
}
console.log(JSON.stringify({ ...line, pageErrors: [...new Set(errors)] }));
await browser.close();
