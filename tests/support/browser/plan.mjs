// Judges the samplers of saved workflows with the window's script, and prints one JSON line for each file.
// node plan.mjs FOLDER: the folder holds NAME.json.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { plan } from "../../../web/steering/plan.js";
import { sourceKey } from "../../../web/steering/prompts.js";
import { opened } from "./editor.mjs";

for (const name of readdirSync(process.argv[2]).sort()) {
  const verdicts = plan(opened(JSON.parse(readFileSync(join(process.argv[2], name), "utf8"))));
  const found = verdicts.map(({ graph, node, state, reason, missed, source, walker, places }) => ({
    sampler: node.id,
    state,
    reason,
    missed: missed ?? "",
    source: source ? sourceKey(walker, graph, source) : "",
    places: state === "steer" ? (places ?? []).map((place) => `${place.node.id} ${place.slot}`) : [],
  }));
  console.log(JSON.stringify({ name, verdicts: found }));
}
