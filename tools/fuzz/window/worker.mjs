// Runs inputs one after the other, keeps those that reach something new, and stops at the first fault; run.mjs starts it.

import { performance } from "node:perf_hooks";
import { memoryUsage } from "node:process";
import { TextEncoder } from "node:util";
import { parentPort, workerData } from "node:worker_threads";

import { Coverage } from "./coverage.mjs";
import { Inputs } from "./inputs.mjs";
import { Random } from "./random.mjs";

const { seed, seeds, newNodes, inputs: most, seconds, sample: wanted, guided, now } = workerData;
const coverage = new Coverage();
const { tried } = await import("./laws.mjs");

const random = new Random(seed);
const made = new Inputs([...seeds], random);
const counts = { inputs: 0, "no JSON": 0, "not opened": 0, refused: 0, left: 0, steered: 0 };
const sample = [];
let [peak, slowest] = [0, 0];
const letters = new TextEncoder();

/** Run one text. Its letters lie where the other thread finds them if this one ends. */
async function run(text) {
  const { written } = letters.encodeInto(text, now.text);
  now.numbers[1] = written;
  Atomics.add(now.numbers, 0, 1);
  const started = performance.now();
  counts.inputs++;
  let data;
  try {
    data = JSON.parse(text);
  } catch {
    counts["no JSON"]++;
    return false;
  }
  const found = await tried(data, newNodes);
  counts[found.kind]++;
  slowest = Math.max(slowest, performance.now() - started);
  keepInSample({ ...found, before: text });
  return found.kind !== "not opened";
}

/** Keep one that the commands were tried on, as likely as any other. */
function keepInSample(found) {
  const seen = counts.refused + counts.left + counts.steered;
  if (found.kind === "not opened") return;
  const place = sample.length < wanted ? sample.length : random.below(seen);
  if (place < wanted) sample[place] = found;
}


const end = Date.now() + seconds * 1000;
let stopped = "";
try {
  for (const text of seeds) await run(text);
  coverage.take();
  while (counts.inputs < most && Date.now() < end) {
    const text = made.next();
    if ((await run(text)) && guided && coverage.take()) made.kept.push(text);
    peak = Math.max(peak, memoryUsage().heapUsed);
  }
} catch (error) {
  stopped = String(error.stack ?? error);
}
// As a text: what lies too deep in each other is not taken from another thread.
const report = JSON.stringify({
  ...{ fault: stopped, counts, blocks: coverage.run, lines: coverage.lines(), kept: made.kept.length - seeds.length },
  ...{ slowest_ms: Math.round(slowest), peak_mib: Math.round(peak / 2 ** 20), sample },
});
parentPort?.postMessage(report);
