// The inputs: workflows to begin with, and what is made of them.

import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { edit, editText } from "./edits.mjs";
import { mend, rewire } from "./rewire.mjs";

const MOST_EDITS = 6;
/** Workflows longer than this are slow, and begin few inputs. */
const LONG = 60_000;

/** Return the texts of the files of a folder, in the order of their names. */
export const textsIn = (folder) =>
  readdirSync(folder)
    .sort()
    .map((name) => readFileSync(join(folder, name), "utf8"));

/** The texts that were kept, and the making of new ones from them. */
export class Inputs {
  /** @param {string[]} seeds @param {import("./random.mjs").Random} random */
  constructor(seeds, random) {
    this.kept = seeds;
    this.random = random;
  }

  /** Return a new text. */
  next() {
    const { random } = this;
    const begun = this.chosen();
    if (random.percent(10)) return editText(begun, this.chosen(), random);
    let data;
    try {
      data = JSON.parse(begun);
    } catch {
      return editText(begun, this.chosen(), random);
    }
    for (let count = 1 + random.below(MOST_EDITS); count > 0; count--) {
      if (random.percent(70)) rewireOrEdit(data, random);
      else edit(data, random);
    }
    if (random.percent(60)) tryTo(() => mend(data));
    return JSON.stringify(data);
  }

  /** Return a text that was kept; of two that are long the shorter. */
  chosen() {
    const [one, other] = [this.random.pick(this.kept), this.random.pick(this.kept)];
    return one.length > LONG && other.length < one.length ? other : one;
  }
}

/** Edits for workflows do not expect what an edit of JSON has left; they leave it alone then. */
function rewireOrEdit(data, random) {
  if (!tryTo(() => rewire(data, random))) edit(data, random);
}

function tryTo(work) {
  try {
    work();
    return true;
  } catch {
    return false;
  }
}
