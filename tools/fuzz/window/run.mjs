// Fuzzes the scripts of the window's commands, guided by what they run; prints one JSON line with what came of it.
// node run.mjs '{"seed": 0, "seconds": 60, "inputs": 1e9, "seeds": FOLDER, "newNodes": FILE, "fault": FILE}'
// `seeds` holds workflows, `newNodes` is the JSON of a new node of each of the pack's types, and `fault` is written if a law
// is broken. Ends with 1 then, and where an input takes more than 1 GiB or 10 seconds. With `sample`, so many inputs with what
// came of them are written into the file `samples`, a line each. Without `guided` only the seeds are begun with.

import { readFileSync, writeFileSync } from "node:fs";
import { clearInterval, setInterval } from "node:timers";
import { URL } from "node:url";
import { Worker } from "node:worker_threads";

import { textsIn } from "./inputs.mjs";

const MOST_MIB = 1024;
const MOST_SECONDS = 10;
const LONGEST = 2 ** 24;

const options = { seed: 0, seconds: 60, inputs: 1e9, sample: 0, guided: true, ...JSON.parse(process.argv[2]) };
const now = { numbers: new Int32Array(new SharedArrayBuffer(8)), text: new Uint8Array(new SharedArrayBuffer(LONGEST)) };
const workerData = { ...options, now, seeds: textsIn(options.seeds), newNodes: JSON.parse(readFileSync(options.newNodes, "utf8")) };

/** Run the worker to its end; return what it reports, or why it was ended. */
const report = await new Promise((resolve) => {
  const worker = new Worker(new URL("worker.mjs", import.meta.url), { workerData, resourceLimits: { maxOldGenerationSizeMb: MOST_MIB } });
  let [seen, same] = [0, 0];
  const watch = setInterval(() => {
    const count = Atomics.load(now.numbers, 0);
    same = count === seen && count > 0 ? same + 1 : 0;
    seen = count;
    if (same >= MOST_SECONDS) finish({ fault: `an input took more than ${MOST_SECONDS} seconds`, counts: { inputs: count } });
  }, 1000);
  const finish = (found) => {
    clearInterval(watch);
    resolve(found);
    worker.terminate();
  };
  worker.on("message", (text) => finish(JSON.parse(text)));
  worker.on("error", (error) => finish({ fault: String(error.stack ?? error), counts: { inputs: Atomics.load(now.numbers, 0) } }));
});
if (report.fault) {
  writeFileSync(options.fault, now.text.slice(0, now.numbers[1]));
  console.error(report.fault);
}
const { sample, ...told } = report;
if (options.samples) writeFileSync(options.samples, (sample ?? []).map((one) => `${JSON.stringify(one)}\n`).join(""));
console.log(JSON.stringify({ node: process.version, seed: options.seed, limits: { mib: MOST_MIB, seconds: MOST_SECONDS }, ...told }));
process.exitCode = report.fault ? 1 : 0;
