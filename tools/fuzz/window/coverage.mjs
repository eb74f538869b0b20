// Which parts of the window's scripts have been run so far: what V8 counts, by script and block.

import { readFileSync } from "node:fs";
import { Session } from "node:inspector";
import { fileURLToPath } from "node:url";

const WATCHED = /\/web\/(steering\/)?\w+\.js$/;

/** Collects what was run in this thread, from its beginning on. Start it before the scripts are imported. */
export class Coverage {
  constructor() {
    this.session = new Session();
    this.session.connect();
    this.post("Profiler.enable");
    this.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
    /** @type {Map<string, Map<string, {range: any, run: boolean}>>} Blocks by script. */
    this.blocks = new Map();
  }

  post(method, options) {
    let answer;
    this.session.post(method, options, (error, found) => {
      if (error) throw error;
      answer = found;
    });
    return answer;
  }

  /** Take in what was run since the last time; return how many blocks were run for the first time. */
  take() {
    let fresh = 0;
    for (const { url, functions } of this.post("Profiler.takePreciseCoverage").result) {
      if (!WATCHED.test(url)) continue;
      const known = this.blocks.get(url) ?? new Map();
      this.blocks.set(url, known);
      for (const range of functions.flatMap((one) => one.ranges)) {
        const key = `${range.startOffset} ${range.endOffset}`;
        const block = known.get(key) ?? { range, run: false };
        known.set(key, block);
        if (range.count && !block.run) {
          block.run = true;
          fresh++;
        }
      }
    }
    return fresh;
  }

  /** Return how many blocks were run. */
  get run() {
    return [...this.blocks.values()].reduce((sum, known) => sum + [...known.values()].filter((block) => block.run).length, 0);
  }

  /** Return how many lines of code each script has, and how many of them were run. @returns {Record<string, [number, number]>} */
  lines() {
    const found = [...this.blocks].map(([url, known]) => [url.split("/").at(-1), linesRun(readFileSync(fileURLToPath(url), "utf8"), known)]);
    return Object.fromEntries(found.sort(([one], [other]) => (one < other ? -1 : 1)));
  }
}

/** Count the lines of code in a script, and those of them in which nothing was left out. */
function linesRun(text, known) {
  const missing = new Uint8Array(text.length);
  // A block that was run lies within one that was not only where the outer one was counted on another occasion.
  const blocks = [...known.values()].sort((one, other) => size(other.range) - size(one.range));
  for (const { range, run } of blocks) missing.fill(run ? 0 : 1, range.startOffset, range.endOffset);
  let [lines, run, start] = [0, 0, 0];
  for (const line of text.split("\n")) {
    const code = [...line].some((letter) => /\w/.test(letter)) && !/^\s*(\/\/|\/?\*)/.test(line);
    if (code) lines++;
    if (code && !missing.subarray(start, start + line.length).some((one, at) => one && /\S/.test(line[at]))) run++;
    start += line.length + 1;
  }
  return [run, lines];
}

const size = ({ startOffset, endOffset }) => endOffset - startOffset;
