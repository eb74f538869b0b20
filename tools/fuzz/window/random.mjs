// Numbers drawn from a seed: the same seed gives the same inputs.

/** Draws numbers, items and decisions, by mulberry32 (public domain, Tommy Ettinger). */
export class Random {
  /** @param {number} seed */
  constructor(seed) {
    this.state = seed >>> 0;
  }

  /** Return a number from 0 to less than 1. */
  next() {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** Return a whole number from 0 to less than a limit. */
  below(limit) {
    return Math.floor(this.next() * limit);
  }

  /** Return one of some items; undefined where there is none. */
  pick(items) {
    return items[this.below(items.length)];
  }

  /** Tell, in so many of a hundred cases. */
  percent(share) {
    return this.below(100) < share;
  }
}
