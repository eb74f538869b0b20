// Edits of any JSON document, and of its text: values replaced, taken out, doubled, moved, renamed or put in.

const NAMES = ["__proto__", "constructor", "prototype", "toString", "valueOf", "hasOwnProperty", "length", "id", "type", "name"];
const TEXTS = ["", "x", "1", "-10", "*", "a\nb", "\0", "\ud800", "傘", "²", "$&", "{nodes}", "a,b", "9".repeat(400), "MODEL,CLIP"];
const NUMBERS = [0, 1, -1, 2, 3, 4, -10, -20, 0.5, 255, 2 ** 31, 2 ** 53, -(2 ** 53), 1e308, -0];
const DEEPEST = 3;
const DEEP = 2000;

/** Return a JSON value that nobody expects. @param {import("./random.mjs").Random} random */
export function odd(random, depth = 0) {
  const kind = random.below(depth < DEEPEST ? 12 : 8);
  if (kind < 2) return random.pick(NUMBERS);
  if (kind < 4) return random.pick(TEXTS);
  if (kind < 6) return random.pick(NAMES);
  if (kind === 6) return null;
  if (kind === 7) return random.percent(50);
  if (kind === 8) return Array.from({ length: random.below(4) }, () => odd(random, depth + 1));
  if (kind === 9) return nested(random.below(DEEP), random.percent(50));
  const made = {};
  for (let count = random.below(4); count > 0; count--) put(made, random.pick(NAMES), odd(random, depth + 1));
  return made;
}

/** Return a value that lies so many lists or objects deep. */
function nested(depth, listed) {
  let found = 1;
  for (let step = 0; step < depth; step++) found = listed ? [found] : { subgraphs: found };
  return found;
}

/** Set a key as JSON.parse does: "__proto__" is a key like any other. */
function put(holder, key, value) {
  Object.defineProperty(holder, key, { value, configurable: true, enumerable: true, writable: true });
}

/** Make one edit somewhere in a document, in place. */
export function edit(document, random) {
  const places = [...placesOf(document)];
  if (!places.length) return;
  const [holder, key] = random.pick(places);
  const kind = random.below(7);
  if (kind === 0 && Array.isArray(holder)) holder.splice(key, 1);
  else if (kind === 0) delete holder[key];
  else if (kind === 1) put(holder, key, copied(...random.pick(places)));
  else if (kind === 2 && Array.isArray(holder)) holder.splice(key, 0, copied(holder, key));
  else if (kind === 3 && !Array.isArray(holder)) {
    const value = holder[key];
    delete holder[key];
    put(holder, random.pick(NAMES), value);
  } else if (kind === 4 && !Array.isArray(holder)) put(holder, random.pick(NAMES), odd(random));
  else if (kind === 5 && Number.isInteger(holder[key])) holder[key] += random.below(9) - 4;
  else put(holder, key, odd(random));
}

const copied = (holder, key) => JSON.parse(JSON.stringify(holder[key] ?? null));

/** Yield the container and the key of everything in a document. */
function* placesOf(document) {
  const waiting = [document];
  for (let holder; (holder = waiting.pop()) !== undefined; ) {
    if (holder === null || typeof holder !== "object") continue;
    for (const key of Object.keys(holder)) {
      yield [holder, Array.isArray(holder) ? Number(key) : key];
      waiting.push(holder[key]);
    }
  }
}

/** Return a text with some letters changed, taken out, doubled, or with a piece of another one in it. */
export function editText(text, other, random) {
  let found = text;
  for (let count = 1 + random.below(4); count > 0; count--) {
    const [at, length] = [random.below(found.length + 1), random.below(24)];
    const [before, after] = [found.slice(0, at), found.slice(at + length)];
    const kind = random.below(4);
    if (kind === 0) found = before + String.fromCharCode(random.below(random.percent(90) ? 128 : 65536)) + found.slice(at + 1);
    else if (kind === 1) found = before + after;
    else if (kind === 2) found = before + found.slice(at, at + length).repeat(2) + after;
    else {
      const start = random.below(other.length);
      found = before + other.slice(start, start + random.below(200)) + after;
    }
  }
  return found;
}
