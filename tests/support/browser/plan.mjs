// Judges the samplers of saved workflows with the window's script, and prints one JSON line for each file.
// node plan.mjs FOLDER: the folder holds NAME.json. The graphs are the least that the script asks of the editor's.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { plan } from "../../../web/steering/plan.js";
import { sourceKey } from "../../../web/steering/prompts.js";
import { EXIT } from "../../../web/steering/rules.js";

const FIELDS = ["id", "origin_id", "origin_slot", "target_id", "target_slot", "type"];

function definitions(data) {
  return (data.definitions?.subgraphs ?? []).flatMap((one) => [one, ...definitions(one)]);
}

function opened(data) {
  const graphs = new Map();
  for (const saved of [data, ...definitions(data)]) graphs.set(saved === data ? "" : saved.id, { name: saved.name || saved.id });
  for (const saved of [data, ...definitions(data)]) {
    const graph = graphs.get(saved === data ? "" : saved.id);
    const links = saved.links.map((link) =>
      Array.isArray(link) ? Object.fromEntries(FIELDS.map((field, index) => [field, link[index]])) : link,
    );
    const nodes = new Map(saved.nodes.map((node) => [node.id, { ...node, subgraph: graphs.get(node.type) }]));
    const byId = new Map(links.map((link) => [link.id, link]));
    const into = (slot) => links.filter((link) => link.target_id === EXIT && link.target_slot === slot).map((link) => link.id);
    graph.nodes = [...nodes.values()];
    graph.inputs = saved.inputs ?? [];
    graph.outputs = (saved.outputs ?? []).map((socket, slot) => ({ ...socket, linkIds: into(slot) }));
    graph.getNodeById = (id) => nodes.get(id);
    graph.getLink = (id) => byId.get(id);
  }
  return graphs.get("");
}

for (const name of readdirSync(process.argv[2]).sort()) {
  const verdicts = plan(opened(JSON.parse(readFileSync(join(process.argv[2], name), "utf8"))));
  const found = verdicts.map(({ graph, node, state, reason, source, walker }) => ({
    sampler: node.id,
    state,
    reason,
    source: source ? sourceKey(walker, graph, source) : "",
  }));
  console.log(JSON.stringify({ name, verdicts: found }));
}
