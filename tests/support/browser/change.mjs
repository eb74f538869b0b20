// Adds steering to saved workflows and removes it with the window's scripts, in a stand-in for the editor; prints one JSON
// line for each file. node change.mjs FOLDER: it holds before/NAME.json, after/NAME.json (what the command line makes of it)
// and pack_nodes.json (a new node of each type).
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { Inserter } from "../../../web/steering/insert.js";
import { plan } from "../../../web/steering/plan.js";
import { Remover } from "../../../web/steering/remove.js";
import { EditorNode, opened } from "./editor.mjs";

globalThis.LiteGraph = { vueNodesMode: false };
const read = (...path) => JSON.parse(readFileSync(join(process.argv[2], ...path), "utf8"));
const newNodes = read("pack_nodes.json");

function add(root) {
  const verdicts = plan(root);
  const inserter = new Inserter(root, (type) => new EditorNode(newNodes[type]));
  verdicts.forEach((verdict) => inserter.insert(verdict));
  return inserter.changed;
}

function remove(root) {
  new Remover(root).remove();
  return root.saved();
}

for (const name of readdirSync(join(process.argv[2], "before")).sort()) {
  const root = opened(read("before", name));
  const changed = add(root);
  const after = root.saved();
  const again = add(root);
  const removed = remove(root);
  const removedAfterCommandLine = remove(opened(read("after", name)));
  console.log(JSON.stringify({ name, changed, after, again, removed, removedAfterCommandLine }));
}
