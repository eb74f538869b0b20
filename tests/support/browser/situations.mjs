// Gives the window's commands in situations that users come into, and prints one JSON line for each.
// node situations.mjs CHROMIUM PLAYWRIGHT_FOLDER URL FOLDER CANVAS: the folder holds NAME.json. CANVAS is "classic" or "vue".
import { readFileSync } from "node:fs";
import { join } from "node:path";

import { ADD, open, REMOVE } from "./page.mjs";

const [chromiumPath, playwrightFolder, url, folder, canvas] = process.argv.slice(2);
const editor = await open(chromiumPath, playwrightFolder, url, canvas);
const { page } = editor;
const read = (name) => JSON.parse(readFileSync(join(folder, `${name}.json`), "utf8"));

/** Load a workflow; return its state. */
async function loaded(name) {
  await editor.load(read(name));
  await editor.toasts();
  return await editor.state();
}

/** Give commands at once, without waiting for one before the next. */
const atOnce = (...ids) =>
  page.evaluate((all) => Promise.all(all.map((id) => window.app.extensionManager.command.execute(id))), ids);

/** Let the last sampler refuse every wire. */
const refuse = () =>
  page.evaluate(() => {
    const samplers = (window.app.rootGraph ?? window.app.graph).nodes.filter((node) => node.type === "KSampler");
    samplers.at(-1).onConnectInput = () => false;
  });

const situations = {
  /** Where the front end offers the commands. */
  async offered() {
    return await page.evaluate(
      (ids) => {
        const { app } = window;
        const extension = app.extensions.find((one) => one.name === "SafetySteer");
        const { commands } = app.extensionManager.command;
        const found = ids.map((id) => commands.find((one) => one.id === id));
        const items = app.canvas.getCanvasMenuOptions().map((item) => item?.content);
        return {
          asked: !!app.collectCanvasMenuItems,
          menu: ids.every((id) => extension.menuCommands.some((one) => one.path[0] === "Extensions" && one.commands.includes(id))),
          canvas: found.every((command) => items.includes(command?.label)),
          palette: found.every(Boolean),
        };
      },
      [ADD, REMOVE],
    );
  },

  async refusedWhenAdding() {
    const before = await loaded("base and refiner");
    await refuse();
    await editor.execute(ADD);
    return { before, toasts: await editor.toasts(), after: await editor.state() };
  },

  async refusedWhenRemoving() {
    await loaded("base and refiner");
    await editor.execute(ADD);
    await editor.toasts();
    const before = await editor.state();
    await refuse();
    await editor.execute(REMOVE);
    return { before, toasts: await editor.toasts(), after: await editor.state() };
  },

  async twiceAtOnce() {
    const before = await loaded("base and refiner");
    await atOnce(ADD, ADD);
    const toasts = await editor.toasts();
    const after = await editor.state();
    await editor.execute("Comfy.Undo");
    return { before, toasts, after, undone: await editor.state() };
  },

  async addedAndRemovedAtOnce() {
    const before = await loaded("base and refiner");
    await atOnce(ADD, REMOVE);
    return { before, toasts: await editor.toasts(), after: await editor.state() };
  },

  async refusedTwiceAtOnce() {
    const before = await loaded("base and refiner");
    await refuse();
    await atOnce(ADD, REMOVE);
    return { before, toasts: await editor.toasts(), after: await editor.state() };
  },

  async everythingSelected() {
    const before = await loaded("text outside, sampler inside");
    const selectAll = () => page.evaluate(() => window.app.canvas.selectItems());
    const selected = () => page.evaluate(() => [...window.app.canvas.selectedItems].map((item) => String(item.id)));
    await selectAll();
    const first = await selected();
    await editor.execute(ADD);
    const after = await editor.state();
    await selectAll();
    const added = await selected();
    await editor.execute(REMOVE);
    return { before, after, removed: await editor.state(), selected: { first, added, left: await selected() } };
  },

  async anEmptyWorkflow() {
    const before = await loaded("empty");
    await editor.execute(ADD);
    await editor.execute(REMOVE);
    return { before, toasts: await editor.toasts(), after: await editor.state() };
  },

  async valuesDeepInEachOther() {
    const before = await loaded("values 700 deep");
    await editor.execute(ADD);
    const after = await editor.state();
    await editor.execute("Comfy.Undo");
    const undone = await editor.state();
    // What would run tells enough, and Python need not read what lies that deep.
    const [one, other, last] = [before, after, undone].map(({ output }) => ({ output }));
    return { before: one, toasts: await editor.toasts(), after: other, undone: last };
  },

  async countersThatCountNothing() {
    const found = {};
    for (const name of ["links counted by no number", "nodes counted by no number"]) {
      const before = await loaded(name);
      await editor.execute(ADD);
      const [toasts, after] = [await editor.toasts(), await editor.state()];
      await editor.execute(REMOVE);
      found[name] = { before, toasts, after, removed: await editor.state() };
    }
    return { found };
  },

  async twoTabs() {
    const openTab = (name) => page.evaluate((data) => window.app.loadGraphData(JSON.parse(data), true, true, null), JSON.stringify(read(name)));
    const turnTo = async (command) => {
      await editor.execute(command);
      await page.waitForTimeout(1000);
      return await editor.state();
    };
    await openTab("base and refiner");
    const first = await editor.state();
    await openTab("base and refiner");
    const second = await editor.state();
    await editor.execute(ADD);
    const steered = await editor.state();
    const firstAfterwards = await turnTo("Workspace.PreviousOpenedWorkflow");
    const secondAgain = await turnTo("Workspace.NextOpenedWorkflow");
    await editor.execute("Comfy.Undo");
    return { first, second, steered, firstAfterwards, secondAgain, undone: await editor.state() };
  },
};

for (const [name, run] of Object.entries(situations)) {
  editor.errors.length = 0;
  let line = { name };
  try {
    line = { name, ...(await run()) };
  } catch (error) {
    line.error = String(error).slice(0, 600);
  }
  console.log(JSON.stringify({ ...line, pageErrors: [...new Set(editor.errors)] }));
}
await editor.browser.close();
