// Tries the window's commands on workflows in files, and prints one JSON line for each with what came of it.
// node replay.mjs NEW_NODES FOLDER: NEW_NODES is the JSON of a new node of each of the pack's types.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { tried } from "./laws.mjs";

const [newNodes, folder] = process.argv.slice(2);
for (const name of readdirSync(folder).sort()) {
  let found;
  try {
    found = await tried(JSON.parse(readFileSync(join(folder, name), "utf8")), JSON.parse(readFileSync(newNodes, "utf8")));
  } catch (error) {
    found = { kind: "fault", fault: String(error.stack ?? error) };
  }
  console.log(JSON.stringify({ name, ...found }));
}
